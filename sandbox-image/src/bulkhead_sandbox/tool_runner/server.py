"""An MCP server, 2026-07-28 only: stateless, one POST a request, headers that must agree with the body."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import hdrs, web

from bulkhead_sandbox import mcp
from bulkhead_sandbox.shape import ShapeError
from bulkhead_sandbox.tool_runner.files import FileProblem, session_folder
from bulkhead_sandbox.tool_runner.functions import Outcome, Session
from bulkhead_wire import strict_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from prometheus_client import Counter

    from bulkhead_sandbox.logs import Log
    from bulkhead_sandbox.tool_runner.child import Commands
    from bulkhead_sandbox.tool_runner.functions import Function

__all__ = ["McpServer"]

MAX_BODY_BYTES: Final = 2 * 1024 * 1024  # the gateway's 1 MiB, escaped once more at worst
_MAX_DEPTH: Final = 40  # the gateway's 32, wrapped
_PARALLEL_CALLS: Final = 8
_TTL_MS: Final = 3_600_000  # the list changes with the image only


class _RpcError(Exception):
    """Answered as a JSON-RPC error."""

    def __init__(self, status: int, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.data = data


class McpServer:
    """Offers `functions`; each session's files live in a folder of its own below `work`."""

    def __init__(
        self, functions: Iterable[Function], work: Path, *, commands: Commands, calls: Counter, log: Log
    ) -> None:
        self._functions = {function.name: function for function in functions}
        self._work = work
        self._commands = commands
        self._calls = calls
        self._log = log
        self._free = asyncio.Semaphore(_PARALLEL_CALLS)

    def app(self, path: str) -> web.Application:
        """POST only: GET and DELETE belong to older revisions (405 is what the specification asks for)."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post(path, self._post)
        return app

    async def _post(self, request: web.Request) -> web.Response:
        if hdrs.ORIGIN in request.headers:  # a browser: none has business here (DNS rebinding)
            raise web.HTTPForbidden
        if request.content_type != "application/json" or hdrs.CONTENT_ENCODING in request.headers:
            raise web.HTTPUnsupportedMediaType
        message_id: str | int | None = None
        try:
            message = _parse(await request.read())
            if "id" not in message:
                return web.Response(status=202)
            message_id = _id(message)
            _check_headers(request.headers, message)
            result = await self._dispatch(request.headers, message)
        except _RpcError as error:
            return _failure(message_id, error)
        return _json({"jsonrpc": "2.0", "id": message_id, "result": result})

    async def _dispatch(self, headers: Mapping[str, str], message: dict[str, Any]) -> dict[str, Any]:
        method, params = message["method"], message["params"]
        if method == "server/discover":
            return _complete(
                {
                    "supportedVersions": [mcp.PROTOCOL],
                    "capabilities": {"tools": {}},
                    "ttlMs": _TTL_MS,
                    "cacheScope": "public",
                }
            )
        if method == "tools/list":
            tools = [function.definition() for function in self._functions.values()]
            return _complete({"tools": tools, "ttlMs": _TTL_MS, "cacheScope": "public"})
        if method == "tools/call":
            return await self._call(headers, params)
        raise _RpcError(404, mcp.METHOD_NOT_FOUND, "Method not found")

    async def _call(self, headers: Mapping[str, str], params: dict[str, Any]) -> dict[str, Any]:
        function = self._functions.get(params["name"])
        if function is None:
            raise _RpcError(200, mcp.INVALID_PARAMS, "Unknown tool")
        user = headers.get(mcp.SUBJECT_HEADER, ""), headers.get(mcp.SESSION_HEADER, "")
        outcome, word = Outcome({}), "cancelled"
        try:
            async with self._free:
                session = Session(session_folder(self._work, *user), self._commands)
                outcome = await function.call(params.get("arguments") or {}, session)
            word = "error" if outcome.is_error else "ok"
        except FileProblem as problem:
            outcome, word = Outcome({"error": str(problem)}, is_error=True), "error"
        except ShapeError as error:
            # An error of the call, not of the protocol, so that a model can read it and try again.
            outcome, word = Outcome({"error": str(error)}, is_error=True), "refused"
        finally:
            self._calls.labels(function.name, word).inc()
            self._log.info("tool.called", function=function.name, outcome=word)
        return _call_result(outcome)


def _parse(data: bytes) -> dict[str, Any]:
    try:
        message = strict_json.loads(data, max_depth=_MAX_DEPTH)
    except strict_json.StrictJsonError as error:
        raise _RpcError(400, mcp.PARSE_ERROR, "Parse error") from error
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise _RpcError(400, mcp.INVALID_REQUEST, "Not a JSON-RPC 2.0 message")
    if not isinstance(message.get("method"), str):
        raise _RpcError(400, mcp.INVALID_REQUEST, "A message needs a method")
    return message


def _id(message: dict[str, Any]) -> str | int:
    found = message["id"]
    if isinstance(found, str) or type(found) is int:
        return found
    raise _RpcError(400, mcp.INVALID_REQUEST, "An id is text or an integer")


def _check_headers(headers: Mapping[str, str], message: dict[str, Any]) -> None:
    """What an intermediary may have judged by is what will be done."""
    version = headers.get(mcp.VERSION_HEADER)
    if version is None:
        raise _RpcError(400, mcp.HEADER_MISMATCH, f"Header mismatch: {mcp.VERSION_HEADER} is missing")
    if version != mcp.PROTOCOL:
        supported = {"supported": [mcp.PROTOCOL], "requested": version}
        raise _RpcError(400, mcp.UNSUPPORTED_VERSION, "Unsupported protocol version", supported)
    params = message.get("params")
    meta = params.get("_meta") if isinstance(params, dict) else None
    if not isinstance(meta, dict) or not isinstance(meta.get(mcp.CAPABILITIES_META), dict):
        raise _RpcError(400, mcp.INVALID_PARAMS, f"params._meta needs {mcp.CAPABILITIES_META}")
    expected = {mcp.VERSION_HEADER: meta.get(mcp.VERSION_META), mcp.METHOD_HEADER: message["method"]}
    if message["method"] == "tools/call":
        expected[mcp.NAME_HEADER] = message["params"].get("name")
    for name, value in expected.items():
        given = headers.get(name)
        if given is None or not isinstance(value, str) or mcp.decode_header(given) != value:
            raise _RpcError(400, mcp.HEADER_MISMATCH, f"Header mismatch: {name} is not as in the body")


def _complete(result: dict[str, Any]) -> dict[str, Any]:
    meta = {mcp.SERVER_INFO_META: mcp.implementation("tool-runner"), **result.get("_meta", {})}
    return {"resultType": "complete", **result, "_meta": meta}


def _call_result(outcome: Outcome) -> dict[str, Any]:
    """Structured, and the same as text for models that read text only."""
    return _complete(
        {
            "content": [{"type": "text", "text": orjson.dumps(outcome.structured).decode()}],
            "structuredContent": outcome.structured,
            "isError": outcome.is_error,
            "_meta": {mcp.TRUNCATED_META: True} if outcome.truncated else {},
        }
    )


def _failure(message_id: str | int | None, error: _RpcError) -> web.Response:
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        body["data"] = error.data
    return _json({"jsonrpc": "2.0", "id": message_id, "error": body}, error.status)


def _json(value: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")
