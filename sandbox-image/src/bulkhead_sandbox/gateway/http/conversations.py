"""Conversations that the gateway remembers: opened once a token, closed by whoever opened them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

from aiohttp import web

from bulkhead_sandbox.clock import rfc3339
from bulkhead_sandbox.gateway.http.answers import json_answer
from bulkhead_sandbox.gateway.http.bodies import shaped_body
from bulkhead_sandbox.gateway.http.calls import Call, Route
from bulkhead_sandbox.gateway.limits import NO_TOKENS
from bulkhead_sandbox.gateway.trail import recorded
from bulkhead_sandbox.problems import Problem, Slug
from bulkhead_sandbox.shape import Bounds

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkhead_sandbox.gateway.limits import Limiter
    from bulkhead_sandbox.gateway.memory import Conversation, Conversations
    from bulkhead_sandbox.gateway.state import SeenTokens
    from bulkhead_sandbox.gateway.trail import Trail

__all__ = ["ConversationRoutes"]

_MAX_LABELS: Final = 8
_MAX_LABEL_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenBody:
    """The body of POST /v1/sessions."""

    ttl_seconds: Annotated[int | None, Bounds(1, 3600)] = None
    turn_ttl_seconds: Annotated[int | None, Bounds(1, 3600)] = None
    labels: dict[str, Any] | None = None


class ConversationRoutes:
    """A handle is a name: it works for the subject that opened it, and for nobody else is it there."""

    def __init__(
        self,
        conversations: Conversations,
        *,
        seen: SeenTokens,
        random_bytes: Callable[[int], bytes],
        limiter: Limiter,
        audit: Trail,
    ) -> None:
        self._conversations = conversations
        self._seen = seen
        self._random_bytes = random_bytes
        self._limiter = limiter
        self._audit = audit

    def routes(self) -> tuple[Route, ...]:
        """For the surface."""
        return (
            Route(method="POST", path="/v1/sessions", scope="session", handler=self._open),
            Route(method="DELETE", path="/v1/sessions", scope="session", handler=self._forget),
            Route(method="GET", path="/v1/sessions/{sid}", scope="session", handler=self._get),
            Route(method="DELETE", path="/v1/sessions/{sid}", scope="session", handler=self._close),
        )

    async def _open(self, call: Call) -> web.Response:
        body = await shaped_body(OpenBody, call.request)
        labels = _labels(body.labels or {})
        claims = call.claims
        with self._limiter.admit(claims.subject, NO_TOKENS, claims.limits) as admission:
            # One token opens one conversation: whoever steals it late finds it used, and memory is bounded by
            # what the issuer hands out.
            once = f"session:{claims.token_id}"
            if not self._seen.first_use(once, self._random_bytes(32), claims.expires_at):
                raise Problem(Slug.SESSION_EXISTS)
            async with recorded(self._audit, "session", **call.who) as ending:
                opened = await self._conversations.create(
                    claims.subject,
                    ttl_seconds=body.ttl_seconds,
                    turn_ttl_seconds=body.turn_ttl_seconds,
                    labels=labels,
                )
                ending.fields = {"why": "opened", "target": {"handle": _named(opened.handle)}}
            return json_answer(_shown(opened), status=201, headers=admission.headers())

    async def _get(self, call: Call) -> web.Response:
        return json_answer(_shown(await self._conversations.get(call.claims.subject, _handle(call))))

    async def _forget(self, call: Call) -> web.Response:
        async with recorded(self._audit, "memory", **call.who) as ending:
            await self._conversations.delete_user(call.claims.subject)
            ending.fields = {"why": "erased-all"}
        return web.Response(status=204)

    async def _close(self, call: Call) -> web.Response:
        handle = _handle(call)
        await self._conversations.get(call.claims.subject, handle)
        target = {"handle": _named(handle)}
        async with recorded(self._audit, "memory", target=target, **call.who) as ending:
            await self._conversations.delete(call.claims.subject, handle)
            ending.fields = {"why": "erased"}
        return web.Response(status=204)


def _handle(call: Call) -> str:
    return call.request.match_info["sid"]


def _named(handle: str) -> str:
    """A handle as the audit log names it: an auditor can follow it and not use it."""
    return hashlib.sha256(handle.encode()).hexdigest()[:16]


def _labels(given: dict[str, Any]) -> dict[str, str]:
    """Few and short, or Problem."""
    if len(given) > _MAX_LABELS:
        raise Problem(Slug.INVALID_FIELD, detail=f"It must be at most {_MAX_LABELS} labels.", field="labels")
    for name, value in given.items():
        is_text = isinstance(value, str) and len(value) <= _MAX_LABEL_CHARACTERS
        if not is_text or not 0 < len(name) <= _MAX_LABEL_CHARACTERS:
            detail = f"Names and values must be text of at most {_MAX_LABEL_CHARACTERS} characters."
            raise Problem(Slug.INVALID_FIELD, detail=detail, field="labels")
    return dict(given)


def _shown(conversation: Conversation) -> dict[str, Any]:
    return {
        "session_id": conversation.handle,
        "created_at": rfc3339(conversation.created_at),
        "expires_at": rfc3339(conversation.expires_at),
        "turn_ttl_seconds": conversation.turn_ttl_seconds,
        "labels": conversation.labels,
    }
