"""The only MCP client in a workspace: one POST a call, nothing of the caller's credentials in it.

Speaks 2026-07-28. An answer may come as JSON or as an event stream; both are bounded before they are parsed.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson

from bulkhead_sandbox import mcp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

__all__ = ["Caller", "McpClient", "RefusedByTool", "ToolResult", "UpstreamFailed", "UpstreamTimedOut"]

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_MAX_PAGES: Final = 16
_END_OF_EVENT: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


class UpstreamFailed(Exception):
    """The tool's server cannot be reached, or its answer is not one; `reason` is for our log."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UpstreamTimedOut(Exception):
    """No whole answer within the call's time."""


class RefusedByTool(Exception):
    """The server knows no such function, or none that takes such parameters."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as pseudonyms: a tool can tell sessions apart and learns no name."""

    subject: str
    session: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a function gave back; `is_error` is the function's own failure, not the transport's."""

    content: list[Any]
    structured: Any
    is_error: bool
    truncated: bool


class McpClient:
    """Calls the tools of one workspace."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(
        self, url: str, name: str, arguments: Mapping[str, Any], *, caller: Caller, timeout_seconds: float
    ) -> ToolResult:
        """The result of one function; raises one of this module's three errors."""
        headers = {
            mcp.NAME_HEADER: name,
            mcp.SUBJECT_HEADER: caller.subject,
            mcp.SESSION_HEADER: caller.session,
        }
        params = {"name": name, "arguments": arguments}
        result = await self._request(url, "tools/call", params, headers, timeout_seconds)
        content = result.get("content")
        if result.get("resultType", "complete") != "complete" or not isinstance(content, list):
            raise UpstreamFailed("no-complete-result")
        meta = result.get("_meta")
        return ToolResult(
            content=content,
            structured=result.get("structuredContent"),
            is_error=result.get("isError") is True,
            truncated=isinstance(meta, dict) and meta.get(mcp.TRUNCATED_META) is True,
        )

    async def definitions(self, url: str, *, timeout_seconds: float) -> list[dict[str, Any]]:
        """What the server says it can do, all pages of it."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            params = {} if cursor is None else {"cursor": cursor}
            page = await self._request(url, "tools/list", params, {}, timeout_seconds)
            tools = page.get("tools")
            if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
                raise UpstreamFailed("no-tool-list")
            found += tools
            cursor = page.get("nextCursor")
            if not isinstance(cursor, str):
                return found
        raise UpstreamFailed("too-many-pages")

    async def _request(
        self, url: str, method: str, params: dict[str, Any], headers: dict[str, str], timeout_seconds: float
    ) -> dict[str, Any]:
        meta = {
            mcp.VERSION_META: mcp.PROTOCOL,
            mcp.CLIENT_INFO_META: mcp.implementation("gateway"),
            mcp.CAPABILITIES_META: {},
        }
        # Each POST is answered on its own connection, so one constant id cannot be mixed up with another.
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}
        try:
            async with asyncio.timeout(timeout_seconds):
                async with self._session.post(
                    url,
                    data=orjson.dumps(message),
                    headers={
                        "Content-Type": "application/json",
                        "Accept": "application/json, text/event-stream",
                        "Accept-Encoding": "identity",
                        mcp.VERSION_HEADER: mcp.PROTOCOL,
                        mcp.METHOD_HEADER: method,
                        **headers,
                    },
                    allow_redirects=False,
                ) as response:
                    answer = await _answer(response)
        except TimeoutError as error:
            raise UpstreamTimedOut from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamFailed(type(error).__name__) from error
        return _result(answer)


def _result(answer: dict[str, Any]) -> dict[str, Any]:
    """The result in a JSON-RPC response."""
    error = answer.get("error")
    if isinstance(error, dict):
        if error.get("code") == mcp.INVALID_PARAMS:
            raise RefusedByTool
        raise UpstreamFailed(
            f"json-rpc-{error.get('code')}" if type(error.get("code")) is int else "json-rpc"
        )
    result = answer.get("result")
    if not isinstance(result, dict):
        raise UpstreamFailed("no-result")
    return result


async def _answer(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """The JSON-RPC response with our id in an HTTP answer of either kind."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UpstreamFailed("content-encoding")
    if response.content_type == "application/json":
        message = _message(b"".join([chunk async for chunk in _bounded(response.content)]))
        if message is None:
            raise UpstreamFailed("not-json-rpc")
        return message
    if response.content_type == "text/event-stream" and response.status == 200:
        async for event in _events(response.content):
            message = _message(event)
            if message is not None:
                return message
        raise UpstreamFailed("stream-without-result")
    raise UpstreamFailed(f"http-{response.status}")


def _message(data: bytes) -> dict[str, Any] | None:
    """`data` as a JSON-RPC response to our request, or None: notifications come before it in a stream."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict) or not ("result" in message or "error" in message):
        return None
    # A server that could not read the request answers with id null or none.
    return message if message.get("id") in (1, None) else None


async def _bounded(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in stream.iter_any():
        size += len(chunk)
        if size > MAX_ANSWER_BYTES:
            raise UpstreamFailed("answer-too-large")
        yield chunk


async def _events(stream: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The data of each server-sent event, as it comes (WHATWG HTML, 9.2.6)."""
    buffer = b""
    async for chunk in _bounded(stream):
        buffer += chunk
        *events, buffer = _END_OF_EVENT.split(buffer)
        for event in events:
            lines = _LINE_END.split(event)
            data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
            if data:
                yield b"\n".join(data)
