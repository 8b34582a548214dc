"""Tools, for sessions: on record before the tool hears of it, looked through before anybody is answered."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from bulkhead_sandbox.gateway.content import UnsafeOutput
from bulkhead_sandbox.gateway.http.answers import json_answer
from bulkhead_sandbox.gateway.http.bodies import shaped_body
from bulkhead_sandbox.gateway.http.calls import Call, Route
from bulkhead_sandbox.gateway.limits import NO_TOKENS
from bulkhead_sandbox.gateway.mcp_client import Caller
from bulkhead_sandbox.gateway.tools import ToolCall
from bulkhead_sandbox.gateway.trail import recorded
from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from bulkhead_sandbox.config import ToolConfig
    from bulkhead_sandbox.gateway.content import Scanner
    from bulkhead_sandbox.gateway.limits import Limiter
    from bulkhead_sandbox.gateway.security import SecurityEvents
    from bulkhead_sandbox.gateway.tools import Tools
    from bulkhead_sandbox.gateway.trail import Trail
    from bulkhead_wire.token import SessionClaims

__all__ = ["ToolCalls"]


class ToolCalls:
    """The routes of tools."""

    def __init__(
        self,
        tools: Tools,
        *,
        limiter: Limiter,
        audit: Trail,
        security: SecurityEvents,
        scanner: Scanner,
        mac: Callable[[bytes], str],
    ) -> None:
        """`mac`: hexadecimal and keyed, so that nobody can guess a short text from the audit log."""
        self._tools = tools
        self._limiter = limiter
        self._audit = audit
        self._security = security
        self._scanner = scanner
        self._mac = mac

    def routes(self) -> tuple[Route, ...]:
        """For the surface."""
        return (
            Route(method="GET", path="/v1/tools", scope="tools:list", handler=self._list),
            Route(method="POST", path="/v1/tools/{name}", scope="tools:call:{name}", handler=self._call),
        )

    async def _list(self, call: Call) -> web.Response:
        with self._limiter.admit(call.claims.subject, NO_TOKENS, call.claims.limits) as admission:
            return json_answer({"tools": await self._tools.definitions()}, headers=admission.headers())

    async def _call(self, call: Call) -> web.Response:
        wanted = await shaped_body(ToolCall, call.request)
        tool = self._tools.find(call.request.match_info["name"], wanted.tool)
        with self._limiter.admit(call.claims.subject, NO_TOKENS, call.claims.limits) as admission:
            return json_answer(await self._recorded(tool, wanted, call), headers=admission.headers())

    async def _recorded(self, tool: ToolConfig, wanted: ToolCall, call: Call) -> dict[str, Any]:
        """The result, between the two records of the call."""
        arguments, subject = orjson.dumps(wanted.arguments or {}), call.claims.subject
        async with recorded(
            self._audit,
            "tool",
            target={"tool": tool.name, "function": wanted.tool},
            len={"in": len(arguments)},
            mac={"in": self._mac(arguments)},
            **call.who,
        ) as ending:
            result = await self._tools.call(tool, wanted, caller(call.claims))
            said = orjson.dumps([result["content"], result["structured"]])
            ending.fields = {"len": {"out": len(said)}, "mac": {"out": self._mac(said)}}
            try:
                shown = {
                    name: _looked_through(value, self._scanner, subject) for name, value in result.items()
                }
            except UnsafeOutput as unsafe:
                ending.outcome, why = "deny", unsafe.kind.value.replace("_", "-")
                ending.fields["why"] = why
                await self._security.report(
                    unsafe.kind.value, why=why, severity=unsafe.kind.severity, **call.who
                )
                raise Problem(Slug.UNSAFE_OUTPUT) from unsafe
            if result["truncated"]:
                ending.outcome = "truncated"
            return shown


def _looked_through(value: Any, scanner: Scanner, subject: str) -> Any:
    """The same with every text in it redacted; UnsafeOutput. Depth is bounded by orjson, which read it."""
    if isinstance(value, str):
        return scanner.text(value, subject)
    if isinstance(value, list):
        return [_looked_through(item, scanner, subject) for item in value]
    if isinstance(value, dict):
        return {
            scanner.text(name, subject): _looked_through(member, scanner, subject)
            for name, member in value.items()
        }
    return value


def caller(claims: SessionClaims) -> Caller:
    """Pseudonyms of user and session: the same for each call, different in each workspace."""
    return Caller(
        subject=_pseudonym("subject", claims.workspace_uid, claims.subject),
        session=_pseudonym("session", claims.workspace_uid, claims.session_id),
    )


def _pseudonym(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
