"""How every request is answered: with an id, never stored, and every failure as a problem."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import hdrs, web

from bulkhead_sandbox.gateway.state import StateFailed
from bulkhead_sandbox.problems import CONTENT_TYPE, Problem, Slug

if TYPE_CHECKING:
    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.gateway.metrics import Metrics
    from bulkhead_sandbox.logs import Log

__all__ = ["REQUEST_ID", "Answers", "Handler", "json_answer"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

REQUEST_ID: Final = web.RequestKey("request_id", str)
# The same for every 401: which scheme the token would have needed is part of what is not told.
_CHALLENGE: Final = 'Bearer, DPoP algs="EdDSA ES256"'
_OF_STATUS: Final = {
    404: Slug.NOT_FOUND,
    405: Slug.METHOD_NOT_ALLOWED,
    413: Slug.BODY_TOO_LARGE,
}


class Answers:
    """The same for both apps."""

    def __init__(
        self, *, metrics: Metrics, clock: Clock, log: Log, draining: Callable[[], bool] = lambda: False
    ) -> None:
        """`clock`: seconds that never go back."""
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._draining = draining

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """For web.Application."""
        request_id = request[REQUEST_ID] = str(uuid.uuid4())
        started_at = self._clock()
        response = await self._response(request, handler, request_id)
        self._count(request, response.status, request_id, self._clock() - started_at)
        return response

    async def on_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """For `Application.on_response_prepare`: streams begin before the middleware sees them."""
        response.headers["X-Request-Id"] = request[REQUEST_ID]
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        if self._draining():
            response.headers[hdrs.CONNECTION] = "close"
            response.force_close()

    async def _response(self, request: web.Request, handler: Handler, request_id: str) -> web.StreamResponse:
        try:
            return await handler(request)
        except Problem as problem:
            return _problem(problem, request_id)
        except web.HTTPException as error:
            response = _problem(Problem(_OF_STATUS.get(error.status, Slug.MALFORMED)), request_id)
            if hdrs.ALLOW in error.headers:
                response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
            return response
        except StateFailed as failed:
            self._log.warning(
                "state.unavailable", error=type(failed.__cause__).__name__, request_id=request_id
            )
            return _problem(Problem(Slug.NOT_READY), request_id)
        except Exception as error:  # noqa: BLE001 - the outermost place: a bug must not become a stack trace
            self._log.error("gateway.failed", error=type(error).__name__, request_id=request_id)
            return _problem(Problem(Slug.INTERNAL), request_id)

    def _count(self, request: web.Request, status: int, request_id: str, seconds: float) -> None:
        resource = request.match_info.route.resource
        route = "unknown" if resource is None else resource.canonical
        self._metrics.requests.labels(route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        self._log.info(
            "gateway.answered",
            route=route,
            status=status,
            request_id=request_id,
            duration_ms=round(seconds * 1000),
        )


def json_answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """`value` as JSON."""
    return web.Response(
        body=orjson.dumps(value), status=status, content_type="application/json", headers=headers
    )


def _problem(problem: Problem, request_id: str) -> web.Response:
    response = web.Response(
        body=problem.body(request_id),
        status=problem.slug.status,
        content_type=CONTENT_TYPE,
        headers=problem.headers,
    )
    if problem.slug is Slug.INVALID_TOKEN:
        response.headers[hdrs.WWW_AUTHENTICATE] = _CHALLENGE
    return response
