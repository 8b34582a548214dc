from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import web

from bulkhead_sandbox.config import ToolConfig
from bulkhead_sandbox.gateway.assembly import upstream_session
from bulkhead_sandbox.gateway.mcp_client import (
    MAX_ANSWER_BYTES,
    Caller,
    McpClient,
    RefusedByTool,
    ToolResult,
    UpstreamFailed,
    UpstreamTimedOut,
)
from bulkhead_sandbox.serve import listening

from .conftest import HOST, FakeClock, gateway_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
RESULT = {"jsonrpc": "2.0", "id": 1, "result": {"content": [{"type": "text", "text": "x"}]}}
CALLER = Caller(subject="s" * 32, session="t" * 32)


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """Somebody else's MCP server."""
    app = web.Application()
    app.router.add_post("/mcp", handler)
    async with listening((app, 0), host=HOST, drain_seconds=0) as (port,):
        yield f"http://{HOST}:{port}/mcp"


def answering(
    body: bytes, content_type: str = "application/json", status: int = 200, **headers: str
) -> Handler:
    async def handler(_request: web.Request) -> web.Response:
        return web.Response(
            body=body,
            status=status,
            headers={"Content-Type": content_type, **{k.replace("_", "-"): v for k, v in headers.items()}},
        )

    return handler


async def call(url: str, timeout_seconds: float = 5) -> ToolResult:
    async with upstream_session() as session:
        client = McpClient(session)
        return await client.call(url, "f", {}, caller=CALLER, timeout_seconds=timeout_seconds)


def result(**members: Any) -> bytes:
    return orjson.dumps({**RESULT, "result": {**RESULT["result"], **members}})  # type: ignore[dict-item]


_RESULT = orjson.dumps(RESULT)
_PROGRESS = b'data: {"jsonrpc":"2.0","method":"notifications/progress"}\n\n'
STREAMS = {
    "one event": b"data: " + _RESULT + b"\n\n",
    "after notifications": b": hello\n\n" + _PROGRESS + b"event: message\ndata: " + _RESULT + b"\n\n",
    "data in lines": b"data: " + _RESULT.replace(b",", b",\ndata: ") + b"\n\n",
    "carriage returns": b"data: " + _RESULT + b"\r\n\r\n",
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS.keys())
async def test_result_is_found_in_a_stream(stream: bytes) -> None:
    """Half of the servers there are answer so."""
    async with server(answering(stream, "text/event-stream")) as url:
        assert (await call(url)).content == [{"type": "text", "text": "x"}]


async def test_result_is_taken_before_the_stream_ends() -> None:
    """A server that keeps its stream open would cost every caller the whole timeout."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(STREAMS["one event"])
        await asyncio.Event().wait()
        return response

    async with server(handler) as url:
        assert (await call(url)).content == [{"type": "text", "text": "x"}]


async def test_all_of_a_result_is_carried_over() -> None:
    """A tool's own failure would look like success, a part like the whole."""
    meta = {"bulkhead.dev/truncated": True}
    body = result(structuredContent=[1], isError=True, _meta=meta)
    async with server(answering(body)) as url:
        assert await call(url) == ToolResult(
            content=[{"type": "text", "text": "x"}], structured=[1], is_error=True, truncated=True
        )


BAD_ANSWERS: dict[str, tuple[Handler, str]] = {
    "html": (answering(b"<html>", "text/html"), "http-200"),
    "error status": (answering(b"", "text/plain", 500), "http-500"),
    "redirect": (answering(b"", "text/plain", 307, Location="http://127.0.0.1:1/"), "http-307"),
    "no json": (answering(b"{"), "not-json-rpc"),
    "another id": (answering(orjson.dumps({**RESULT, "id": 2})), "not-json-rpc"),
    "id a list": (answering(orjson.dumps({**RESULT, "id": [1]})), "not-json-rpc"),
    "no result": (answering(orjson.dumps({**RESULT, "result": 7})), "no-result"),
    "no content": (answering(result(content=None)), "no-complete-result"),
    "asks back": (answering(result(resultType="input_required")), "no-complete-result"),
    "older server": (
        answering(
            orjson.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32022, "message": ""}}), status=400
        ),
        "json-rpc--32022",
    ),
    "error without code": (answering(b'{"jsonrpc":"2.0","id":1,"error":{"code":"x"}}'), "json-rpc"),
    "too large": (answering(b" " * (MAX_ANSWER_BYTES + 1)), "answer-too-large"),
    "endless stream": (
        answering(b": x\n" * (MAX_ANSWER_BYTES // 4 + 1), "text/event-stream"),
        "answer-too-large",
    ),
    "stream without result": (answering(b"data: {}\n\n", "text/event-stream"), "stream-without-result"),
    "compressed": (answering(b"", Content_Encoding="gzip"), "content-encoding"),
}


@pytest.mark.parametrize(("handler", "reason"), BAD_ANSWERS.values(), ids=BAD_ANSWERS.keys())
async def test_anything_else_is_a_failure_with_a_reason(handler: Handler, reason: str) -> None:
    """An untrusted server could crash the gateway, fill its memory or send it elsewhere."""
    async with server(handler) as url:
        with pytest.raises(UpstreamFailed) as caught:
            await call(url)
    assert caught.value.reason == reason


async def test_refused_parameters_are_told_apart() -> None:
    """The caller's mistake would look like an outage."""
    body = orjson.dumps({"jsonrpc": "2.0", "id": 1, "error": {"code": -32602, "message": "no"}})
    async with server(answering(body)) as url:
        with pytest.raises(RefusedByTool):
            await call(url)


async def test_silent_server_ends_in_a_timeout() -> None:
    """A call would hang, and hold its caller and a connection."""

    async def handler(_request: web.Request) -> web.Response:
        await asyncio.Event().wait()
        return web.Response()

    async with server(handler) as url:
        with pytest.raises(UpstreamTimedOut):
            await call(url, timeout_seconds=0.05)


async def test_tool_sees_nothing_of_the_callers_credentials(tmp_path: Path, clock: FakeClock) -> None:
    """A tool that echoes its headers would hand one user's token to another, or keep it."""
    seen: dict[str, str] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(request.headers)
        seen["body"] = await request.text()
        return web.Response(body=orjson.dumps(RESULT), content_type="application/json")

    async with (
        server(handler) as url,
        gateway_for(tmp_path, clock, tools=(ToolConfig(name="echo", url=url, allow=()),)) as world,
    ):
        token = world.token("tools:call:echo")
        sent = {"Cookie": "id=planted", "X-Api-Key": "planted", "X-Bulkhead-Subject": "planted"}
        answer = await world.ask("POST", "/v1/tools/echo", token, json={"tool": "f"}, headers=sent)
    assert answer.status == 200
    said = str(seen)
    assert not [word for word in ("planted", "alice", token, "Authorization") if word in said]
    assert seen["Mcp-Method"] == "tools/call"


@pytest.mark.parametrize(
    ("handler", "status", "slug"),
    [
        (answering(b"<html>", "text/html"), 502, "upstream-error"),
        (answering(orjson.dumps({**RESULT, "error": {"code": -32602}})), 422, "invalid-field"),
    ],
    ids=["failed", "refused"],
)
async def test_failures_become_problems_without_the_tools_words(
    tmp_path: Path, clock: FakeClock, handler: Handler, status: int, slug: str
) -> None:
    """What an untrusted server says in an error would be shown as ours."""
    async with (
        server(handler) as url,
        gateway_for(tmp_path, clock, tools=(ToolConfig(name="t", url=url, allow=()),)) as world,
    ):
        answer = await world.call("t", "f")
    assert (answer.status, answer.slug) == (status, slug)


async def test_tool_that_is_away_hides_no_other(tmp_path: Path, clock: FakeClock, tool_runner: str) -> None:
    """One broken tool would take the whole list with it."""
    tools = (
        ToolConfig(name="away", url="http://127.0.0.1:1/mcp", allow=()),
        ToolConfig(name="here", url=tool_runner, allow=("file_read",)),
    )
    async with gateway_for(tmp_path, clock, tools=tools) as world:
        answer = await world.ask("GET", "/v1/tools", world.token("tools:list"))
        called = await world.call("away", "f")
    assert [(t["name"], t["available"], len(t["functions"])) for t in answer.json["tools"]] == [
        ("away", False, 0),
        ("here", True, 1),
    ]
    assert (called.status, called.slug) == (502, "upstream-error")


async def test_pages_of_a_list_are_put_together() -> None:
    """A server with many functions would seem to have few."""

    async def handler(request: web.Request) -> web.Response:
        cursor = (await request.json())["params"].get("cursor")
        page: dict[str, Any] = {"tools": [{"name": f"f{cursor}"}]}
        if cursor != "2":
            page["nextCursor"] = "2" if cursor == "1" else "1"
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": page})

    async with server(handler) as url, upstream_session() as session:
        found = await McpClient(session).definitions(url, timeout_seconds=5)
    assert [tool["name"] for tool in found] == ["fNone", "f1", "f2"]


async def test_list_that_never_ends_is_a_failure() -> None:
    """A server could keep the gateway asking for ever."""

    async def handler(_request: web.Request) -> web.Response:
        return web.json_response({"jsonrpc": "2.0", "id": 1, "result": {"tools": [], "nextCursor": "x"}})

    async with server(handler) as url, upstream_session() as session:
        with pytest.raises(UpstreamFailed):
            await McpClient(session).definitions(url, timeout_seconds=5)
