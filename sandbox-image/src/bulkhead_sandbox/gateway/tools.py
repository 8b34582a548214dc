"""The workspace's tools: which there are, what of each may be used, and the call itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from bulkhead_sandbox import mcp
from bulkhead_sandbox.gateway.mcp_client import RefusedByTool, UpstreamFailed, UpstreamTimedOut
from bulkhead_sandbox.problems import Problem, Slug
from bulkhead_sandbox.shape import Bounds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkhead_sandbox.config import ToolConfig
    from bulkhead_sandbox.gateway.mcp_client import Caller, McpClient
    from bulkhead_sandbox.gateway.metrics import Metrics
    from bulkhead_sandbox.logs import Log

__all__ = ["ToolCall", "Tools"]

_LIST_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCall:
    """The body of POST /v1/tools/{name}."""

    tool: Annotated[str, Bounds(1, 128)]  # one function of the MCP server
    arguments: dict[str, Any] | None = None
    timeout_seconds: Annotated[int, Bounds(1, 300)] = 30


class Tools:
    """Calls tools by the name that the workspace's spec gives them."""

    def __init__(self, tools: Iterable[ToolConfig], client: McpClient, *, metrics: Metrics, log: Log) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._client = client
        self._metrics = metrics
        self._log = log

    def find(self, name: str, function: str) -> ToolConfig:
        """The tool of that name; Problem if there is none here, or it may not be used for `function`."""
        tool = self._tools.get(name)
        if tool is None or not _may_use(tool, function):
            raise Problem(Slug.NOT_FOUND)
        return tool

    async def call(self, tool: ToolConfig, call: ToolCall, caller: Caller) -> dict[str, Any]:
        """The function's result; Problem if it gave none."""
        outcome = "cancelled"
        try:
            result = await self._client.call(
                tool.url,
                call.tool,
                call.arguments or {},
                caller=caller,
                timeout_seconds=call.timeout_seconds,
            )
            outcome = "error" if result.is_error else "ok"
        except UpstreamTimedOut as error:
            outcome = "timeout"
            raise Problem(Slug.TOOL_TIMEOUT) from error
        except RefusedByTool as error:
            outcome = "refused"
            detail = "The tool has no such function, or none that takes these arguments."
            raise Problem(Slug.INVALID_FIELD, detail=detail, field="tool") from error
        except UpstreamFailed as error:
            outcome = "failed"
            self._log.warning("tool.failed", tool=tool.name, reason=error.reason)
            raise Problem(Slug.UPSTREAM_ERROR) from error
        finally:
            self._metrics.tool_calls.labels(tool.name, outcome).inc()
        return {
            "content": result.content,
            "structured": result.structured,
            "is_error": result.is_error,
            "truncated": result.truncated,
        }

    async def definitions(self) -> list[dict[str, Any]]:
        """Every tool with its usable functions; a tool that does not answer says so and hides no other."""
        return list(await asyncio.gather(*map(self._definition, self._tools.values())))

    async def _definition(self, tool: ToolConfig) -> dict[str, Any]:
        try:
            found = await self._client.definitions(tool.url, timeout_seconds=_LIST_SECONDS)
        except (UpstreamFailed, UpstreamTimedOut, RefusedByTool) as error:
            self._log.warning("tool.unlisted", tool=tool.name, error=type(error).__name__)
            return {"name": tool.name, "available": False, "functions": []}
        functions = [
            {
                "name": function["name"],
                "description": function.get("description"),
                "input_schema": function.get("inputSchema"),
            }
            for function in found
            if isinstance(function.get("name"), str) and _may_use(tool, function["name"])
        ]
        return {"name": tool.name, "available": True, "functions": functions}


def _may_use(tool: ToolConfig, function: str) -> bool:
    return mcp.TOOL_NAME.fullmatch(function) is not None and (not tool.allow or function in tool.allow)
