from __future__ import annotations

from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from bulkhead_sandbox import mcp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
CALL = {
    "jsonrpc": "2.0",
    "id": "a",
    "method": "tools/call",
    "params": {"name": "file_list", "arguments": {}, "_meta": META},
}
HEADERS = {
    "MCP-Protocol-Version": "2026-07-28",
    "Mcp-Method": "tools/call",
    "Mcp-Name": "file_list",
    "Accept": "application/json, text/event-stream",
}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def post(
    http: aiohttp.ClientSession, url: str, message: Any = CALL, **headers: str | None
) -> tuple[int, dict[str, Any]]:
    changed = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in {**HEADERS, **changed}.items() if value is not None}
    async with http.post(url, json=message, headers=sent) as response:
        return response.status, await response.json()


def with_params(**changes: Any) -> dict[str, Any]:
    return {**CALL, "params": {**CALL["params"], **changes}}  # type: ignore[dict-item]


async def test_call_is_answered_with_its_id(http: aiohttp.ClientSession, tool_runner: str) -> None:
    """A client could not tell which answer is whose."""
    status, answer = await post(http, tool_runner)
    assert (status, answer["id"], answer["result"]["resultType"]) == (200, "a", "complete")
    assert answer["result"]["structuredContent"] == {"entries": [], "truncated": False}


async def test_discovery_and_list_say_how_long_they_hold(
    http: aiohttp.ClientSession, tool_runner: str
) -> None:
    """The specification makes both members mandatory; a client without them asks before each call."""
    for method in ("server/discover", "tools/list"):
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": META}}
        status, answer = await post(http, tool_runner, message, Mcp_Method=method, Mcp_Name=None)
        assert status == 200
        assert (answer["result"]["ttlMs"], answer["result"]["cacheScope"]) == (3_600_000, "public")


async def test_schema_in_the_list_is_what_the_call_accepts(
    http: aiohttp.ClientSession, tool_runner: str
) -> None:
    """A model fills in a form that is then refused."""
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}}
    _, answer = await post(http, tool_runner, message, Mcp_Method="tools/list", Mcp_Name=None)
    schemas = {tool["name"]: tool["inputSchema"] for tool in answer["result"]["tools"]}
    assert schemas["file_list"] == {
        "type": "object",
        "properties": {
            "path": {
                "type": "string",
                "minLength": 0,
                "maxLength": 4096,
                "description": "Empty: the session's folder itself.",
                "default": "",
            }
        },
        "required": [],
        "additionalProperties": False,
    }
    assert schemas["shell_exec"]["properties"]["argv"] == {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "maxItems": 256,
        "description": "Program and arguments; no shell reads them.",
    }


_OLD_META = {**META, "io.modelcontextprotocol/protocolVersion": "2025-11-25"}
REFUSED: dict[str, tuple[Any, dict[str, str | None], int, int]] = {
    "no version": (CALL, {"MCP_Protocol_Version": None}, 400, mcp.HEADER_MISMATCH),
    "older version": (CALL, {"MCP_Protocol_Version": "2025-11-25"}, 400, mcp.UNSUPPORTED_VERSION),
    "another version in the body": (with_params(_meta=_OLD_META), {}, 400, mcp.HEADER_MISMATCH),
    "no method header": (CALL, {"Mcp_Method": None}, 400, mcp.HEADER_MISMATCH),
    "another method in the header": (CALL, {"Mcp_Method": "tools/list"}, 400, mcp.HEADER_MISMATCH),
    "no name header": (CALL, {"Mcp_Name": None}, 400, mcp.HEADER_MISMATCH),
    "another name in the header": (CALL, {"Mcp_Name": "file_read"}, 400, mcp.HEADER_MISMATCH),
    "name in another case": (CALL, {"Mcp_Name": "File_List"}, 400, mcp.HEADER_MISMATCH),
    "unreadable base64 name": (CALL, {"Mcp_Name": "=?base64?!?="}, 400, mcp.HEADER_MISMATCH),
    "name no text": (with_params(name=7), {}, 400, mcp.HEADER_MISMATCH),
    "no _meta": (with_params(_meta=None), {}, 400, mcp.INVALID_PARAMS),
    "unknown function": (with_params(name="rm"), {"Mcp_Name": "rm"}, 200, mcp.INVALID_PARAMS),
    "unknown method": (
        {**CALL, "method": "resources/list"},
        {"Mcp_Method": "resources/list"},
        404,
        mcp.METHOD_NOT_FOUND,
    ),
    "batch": ([CALL], {}, 400, mcp.INVALID_REQUEST),
    "not 2.0": ({**CALL, "jsonrpc": "1.0"}, {}, 400, mcp.INVALID_REQUEST),
    "id null": ({**CALL, "id": None}, {}, 400, mcp.INVALID_REQUEST),
    "no method": ({"jsonrpc": "2.0", "id": 1}, {}, 400, mcp.INVALID_REQUEST),
}


@pytest.mark.parametrize(("message", "headers", "status", "code"), REFUSED.values(), ids=REFUSED.keys())
async def test_message_that_is_not_as_its_headers_say_is_refused(
    http: aiohttp.ClientSession,
    tool_runner: str,
    message: Any,
    headers: dict[str, str | None],
    status: int,
    code: int,
) -> None:
    """Whoever decided by the headers decided on something else than what is done."""
    found_status, answer = await post(http, tool_runner, message, **headers)
    assert (found_status, answer["error"]["code"]) == (status, code)


async def test_refusal_of_a_version_names_ours(http: aiohttp.ClientSession, tool_runner: str) -> None:
    """A client that speaks several could not choose."""
    _, answer = await post(http, tool_runner, CALL, MCP_Protocol_Version="2099-01-01")
    assert answer["error"]["data"] == {"supported": ["2026-07-28"], "requested": "2099-01-01"}


async def test_name_may_come_base64(http: aiohttp.ClientSession, tool_runner: str) -> None:
    """The specification's clients may send any name so."""
    status, _ = await post(http, tool_runner, CALL, Mcp_Name="=?base64?ZmlsZV9saXN0?=")
    assert status == 200


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("GET", {}, 405),
        ("DELETE", {}, 405),
        ("POST", {"Origin": "https://evil.example"}, 403),
        ("POST", {"Content-Type": "text/plain"}, 415),
        ("POST", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
    ],
    ids=["get", "delete", "browser", "text", "gzip"],
)
async def test_other_ways_to_ask_are_refused(
    http: aiohttp.ClientSession, tool_runner: str, method: str, headers: dict[str, str], status: int
) -> None:
    """Older revisions' streams, and web pages that reach into private networks."""
    async with http.request(method, tool_runner, data=b"{}", headers=headers) as response:
        assert response.status == status


async def test_notification_is_taken_without_an_answer(http: aiohttp.ClientSession, tool_runner: str) -> None:
    """JSON-RPC: a message without id is never answered."""
    message = {"jsonrpc": "2.0", "method": "notifications/x"}
    async with http.post(tool_runner, json=message, headers=HEADERS) as response:
        assert (response.status, await response.read()) == (202, b"")


async def test_wrong_argument_is_told_to_the_model(http: aiohttp.ClientSession, tool_runner: str) -> None:
    """A protocol error never reaches the model; it would repeat the mistake."""
    message = with_params(name="shell_exec", arguments={"argv": []})
    status, answer = await post(http, tool_runner, message, Mcp_Name="shell_exec")
    assert (status, answer["result"]["isError"]) == (200, True)
    assert answer["result"]["structuredContent"] == {"error": "argv: must be 1 to 256 items"}


async def test_sessions_have_folders_of_their_own(http: aiohttp.ClientSession, tool_runner: str) -> None:
    """One session would find another's files by their names."""
    alice = {"X_Bulkhead_Subject": "alice", "X_Bulkhead_Session": "1"}
    write = with_params(name="file_write", arguments={"path": "note", "content": "mine"})
    await post(http, tool_runner, write, Mcp_Name="file_write", **alice)
    seen = {}
    for subject, session in (("alice", "1"), ("alice", "2"), ("bob", "1"), ("alice1", "")):
        headers = {"X_Bulkhead_Subject": subject, "X_Bulkhead_Session": session}
        _, answer = await post(http, tool_runner, CALL, **headers)
        entries = answer["result"]["structuredContent"]["entries"]
        seen[subject, session] = [entry["name"] for entry in entries]
    assert [names for names in seen.values() if names] == [["note"]]
    assert seen["alice", "1"] == ["note"]
