"""What the operator asks and tells, on a port of its own and with a token of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from aiohttp import hdrs, web

from bulkhead_sandbox.gateway.http.answers import REQUEST_ID, Handler, json_answer
from bulkhead_sandbox.gateway.http.audit_log import records_answer
from bulkhead_sandbox.gateway.http.bodies import shaped_body
from bulkhead_sandbox.gateway.trail import recorded
from bulkhead_sandbox.problems import Problem, Slug
from bulkhead_sandbox.shape import Bounds
from bulkhead_wire.operator_token import verify_operator_token
from bulkhead_wire.token import Refusal, TokenRefused

if TYPE_CHECKING:
    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.gateway.activity import Activity
    from bulkhead_sandbox.gateway.http.answers import Answers
    from bulkhead_sandbox.gateway.http.audit_log import AuditLog
    from bulkhead_sandbox.gateway.memory import Conversations
    from bulkhead_sandbox.gateway.security import SecurityEvents
    from bulkhead_sandbox.gateway.sessions import KeyRing
    from bulkhead_sandbox.gateway.state import Epoch

__all__ = ["OperatorSurface"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochBody:
    """The body of POST /internal/v1/epoch."""

    epoch: Annotated[int, Bounds(0, 2**53 - 1)]


class OperatorSurface:
    """Times, counts and the audit log; every question carries an operator token."""

    def __init__(  # noqa: PLR0913 - each part named
        self,
        workspace_uid: str,
        *,
        keys: KeyRing,
        epoch: Epoch,
        audit: AuditLog,
        conversations: Conversations,
        activity: Activity,
        security: SecurityEvents,
        answers: Answers,
        clock: Clock,
    ) -> None:
        self._workspace_uid = workspace_uid
        self._keys = keys
        self._epoch = epoch
        self._audit = audit
        self._conversations = conversations
        self._activity = activity
        self._security = security
        self._answers = answers
        self._clock = clock

    def app(self) -> web.Application:
        """For the operator alone (NetworkPolicy and token)."""
        app = web.Application(middlewares=[self._answers.middleware, self._known], client_max_size=4096)
        app.on_response_prepare.append(self._answers.on_prepare)
        app.router.add_get("/internal/v1/activity", self._get_activity, allow_head=False)
        app.router.add_post("/internal/v1/epoch", self._post_epoch)
        app.router.add_post("/internal/v1/erase", self._post_erase)
        app.router.add_get("/internal/v1/audit/head", self._get_head, allow_head=False)
        app.router.add_get("/internal/v1/audit/records", self._get_records, allow_head=False)
        return app

    @web.middleware
    async def _known(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            self._verify(request)
        except TokenRefused as refused:
            await self._security.token_refused(refused.reason, request[REQUEST_ID])
            raise Problem(Slug.INVALID_TOKEN) from refused
        return await handler(request)

    def _verify(self, request: web.Request) -> None:
        jwks = self._keys.current()
        if jwks is None:
            raise TokenRefused(Refusal.UNKNOWN_KEY)
        headers = request.headers.getall(hdrs.AUTHORIZATION, [])
        scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
        if scheme.lower() != "bearer":
            raise TokenRefused(Refusal.MALFORMED)
        verify_operator_token(token, jwks, self._workspace_uid, now=self._clock())

    async def _get_activity(self, _request: web.Request) -> web.Response:
        return json_answer(self._activity.report())

    async def _post_erase(self, _request: web.Request) -> web.Response:
        """For teardown: nothing that anybody said can be read from the disk when this is answered."""
        async with recorded(self._audit, "memory") as ending:
            erased = await self._conversations.erase_all()
            ending.fields = {"why": "erased-all", "target": {"users": erased}}
        return json_answer({"users": erased})

    async def _get_head(self, _request: web.Request) -> web.Response:
        head = await self._audit.head()
        return json_answer(head.wire())

    async def _get_records(self, request: web.Request) -> web.Response:
        return await records_answer(request, self._audit)

    async def _post_epoch(self, request: web.Request) -> web.Response:
        body = await shaped_body(EpochBody, request)
        await self._epoch.raise_epoch(body.epoch)
        return json_answer({"epoch": self._epoch.epoch()})
