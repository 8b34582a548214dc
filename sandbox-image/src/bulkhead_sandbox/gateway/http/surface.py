"""What sessions may ask: one way in for all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aiohttp import hdrs, web

from bulkhead_sandbox.gateway.http import openapi
from bulkhead_sandbox.gateway.http.answers import REQUEST_ID, json_answer
from bulkhead_sandbox.gateway.http.bodies import MAX_BODY_BYTES
from bulkhead_sandbox.gateway.http.calls import Call, Route
from bulkhead_sandbox.gateway.sessions import Presented
from bulkhead_sandbox.gateway.who import audited
from bulkhead_sandbox.problems import Problem, Slug
from bulkhead_wire.token import SessionClaims, TokenRefused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from bulkhead_sandbox.gateway.activity import Activity
    from bulkhead_sandbox.gateway.http.answers import Answers
    from bulkhead_sandbox.gateway.security import SecurityEvents
    from bulkhead_sandbox.gateway.sessions import Sessions

__all__ = ["Surface"]

_PROOF: Final = "DPoP"


class Surface:
    """The app for clients and the runtime: verifies, then hands over."""

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        sessions: Sessions,
        activity: Activity,
        security: SecurityEvents,
        answers: Answers,
    ) -> None:
        self._routes = tuple(routes)
        self._sessions = sessions
        self._activity = activity
        self._security = security
        self._answers = answers

    def app(self) -> web.Application:
        """Every route behind a verified token."""
        app = web.Application(middlewares=[self._answers.middleware], client_max_size=MAX_BODY_BYTES)
        app.on_response_prepare.append(self._answers.on_prepare)
        app.router.add_get(openapi.PATH, self._describe, allow_head=False)
        for route in self._routes:
            app.router.add_route(route.method, route.path, self._guarded(route))
        return app

    async def _describe(self, _request: web.Request) -> web.Response:
        """The same for everybody: it says what gateways can do, not what this one has."""
        return json_answer(openapi.DOCUMENT)

    def _guarded(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            request_id = request[REQUEST_ID]
            claims, token = await self._verified(request, request_id)
            if not route.allows(claims, request.match_info):
                await self._security.scope_refused(**audited(claims, request_id))
                raise Problem(Slug.INSUFFICIENT_SCOPE)
            call = Call(claims=claims, token=token, request=request, request_id=request_id)
            try:
                with self._activity.serving():
                    return await route.handler(call)
            except Problem as problem:
                await self._note(problem, call)
                raise

        return handle

    async def _verified(self, request: web.Request, request_id: str) -> tuple[SessionClaims, str]:
        """Claims and token; every way to fail is one answer."""
        try:
            return self._sessions.verified(_presented(request))
        except TokenRefused as refused:
            await self._security.token_refused(refused.reason, request_id)
            raise Problem(Slug.INVALID_TOKEN) from refused

    async def _note(self, problem: Problem, call: Call) -> None:
        """Put on record what tells of abuse."""
        if problem.limit is not None:
            await self._security.limit_held(problem.limit, **call.who)
        elif problem.slug is Slug.RESERVED_CONTENT:
            await self._security.report(
                "reserved_content", why=problem.slug.slug, severity="medium", **call.who
            )


def _presented(request: web.Request) -> Presented:
    proofs = request.headers.getall(_PROOF, [])
    return Presented(
        authorization=request.headers.getall(hdrs.AUTHORIZATION, []),
        proofs=proofs,
        method=request.method,
        url=f"{request.scheme}://{request.host}{request.rel_url.raw_path}" if proofs else "",
    )
