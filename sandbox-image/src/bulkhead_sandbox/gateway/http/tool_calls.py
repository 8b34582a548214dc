"""Tools, for sessions: counted, and on record before the tool hears of it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from bulkhead_sandbox.gateway.http.answers import json_answer
from bulkhead_sandbox.gateway.http.bodies import shaped_body
from bulkhead_sandbox.gateway.http.calls import Call, Route
from bulkhead_sandbox.gateway.limits import NO_TOKENS
from bulkhead_sandbox.gateway.mcp_client import Caller
from bulkhead_sandbox.gateway.tools import ToolCall
from bulkhead_sandbox.problems import Problem

if TYPE_CHECKING:
    from aiohttp import web

    from bulkhead_sandbox.gateway.limits import Limiter
    from bulkhead_sandbox.gateway.tools import Tools
    from bulkhead_sandbox.gateway.trail import Trail
    from bulkhead_wire.token import SessionClaims

__all__ = ["ToolCalls"]


class ToolCalls:
    """The routes of tools."""

    def __init__(self, tools: Tools, *, limiter: Limiter, audit: Trail) -> None:
        self._tools = tools
        self._limiter = limiter
        self._audit = audit

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
        name = call.request.match_info["name"]
        wanted = await shaped_body(ToolCall, call.request)
        with self._limiter.admit(call.claims.subject, NO_TOKENS, call.claims.limits) as admission:
            target = {"tool": name, "function": wanted.tool[:128]}
            ref = await self._audit.begin("tool", target=target, **call.who)
            outcome, why = "error", {"why": "cancelled"}
            try:
                result = await self._tools.call(name, wanted, caller(call.claims))
                outcome, why = ("truncated" if result["truncated"] else "allow"), {}
            except Problem as problem:
                why = {"why": problem.slug.slug}
                raise
            finally:
                await self._audit.end(ref, outcome, **why)
            return json_answer(result, headers=admission.headers())


def caller(claims: SessionClaims) -> Caller:
    """Pseudonyms of user and session: the same for each call, different in each workspace."""
    return Caller(
        subject=_pseudonym("subject", claims.workspace_uid, claims.subject),
        session=_pseudonym("session", claims.workspace_uid, claims.session_id),
    )


def _pseudonym(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
