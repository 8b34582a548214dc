"""The gateway's HTTP surface: who may call, what comes back, and that every failure is a problem."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import hdrs, web

from bulkhead_sandbox.clock import rfc3339
from bulkhead_sandbox.gateway.auth import bearer_token
from bulkhead_sandbox.gateway.mcp_client import Caller
from bulkhead_sandbox.gateway.tools import ToolCall
from bulkhead_sandbox.problems import CONTENT_TYPE, Problem, Slug
from bulkhead_sandbox.shape import ShapeError, decode
from bulkhead_wire import strict_json
from bulkhead_wire.token import SessionClaims, TokenRefused

if TYPE_CHECKING:
    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.config import GatewayConfig
    from bulkhead_sandbox.gateway.activity import Activity
    from bulkhead_sandbox.gateway.auth import Sessions
    from bulkhead_sandbox.gateway.metrics import Metrics
    from bulkhead_sandbox.gateway.tools import Tools
    from bulkhead_sandbox.logs import Log

__all__ = ["MAX_BODY_BYTES", "Gateway"]

MAX_BODY_BYTES: Final = 1024 * 1024
_MAX_DEPTH: Final = 32

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_OF_STATUS: Final = {
    404: Slug.NOT_FOUND,
    405: Slug.METHOD_NOT_ALLOWED,
    413: Slug.BODY_TOO_LARGE,
}


class Gateway:
    """One workspace's door: sessions on one app, the operator's questions on another."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        sessions: Sessions,
        tools: Tools,
        activity: Activity,
        metrics: Metrics,
        clock: Clock,
        log: Log,
    ) -> None:
        self._config = config
        self._sessions = sessions
        self._tools = tools
        self._activity = activity
        self._metrics = metrics
        self._clock = clock
        self._log = log

    def app(self) -> web.Application:
        """For clients and the runtime."""
        app = web.Application(middlewares=[self._answer], client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/v1/session", self._get_session, allow_head=False)
        app.router.add_get("/v1/tools", self._get_tools, allow_head=False)
        app.router.add_post("/v1/tools/{name}", self._post_tool)
        return app

    def operator_app(self) -> web.Application:
        """For the operator alone (NetworkPolicy): times and counts, nothing that identifies anyone."""

        async def get_activity(_request: web.Request) -> web.Response:
            return web.json_response(self._activity.report())

        app = web.Application()
        app.router.add_get("/internal/v1/activity", get_activity)
        return app

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every answer carries a request id and is never stored; every failure is a problem."""
        request_id = str(uuid.uuid4())
        started_at = self._clock()
        try:
            response = await handler(request)
        except Problem as problem:
            response = _problem(problem, request_id)
        except web.HTTPException as error:
            slug = _OF_STATUS.get(error.status, Slug.MALFORMED)
            response = _problem(Problem(slug), request_id)
            if hdrs.ALLOW in error.headers:
                response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        except Exception as error:  # noqa: BLE001 - the outermost place: a bug must not become a stack trace
            self._log.error("gateway.failed", error=type(error).__name__, request_id=request_id)
            response = _problem(Problem(Slug.INTERNAL), request_id)
        response.headers["X-Request-Id"] = request_id
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        self._count(request, response.status, request_id, self._clock() - started_at)
        return response

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

    def _claims(self, request: web.Request, scope: str) -> SessionClaims:
        """The verified session, if it holds `scope`: asked before anything that would tell what exists."""
        try:
            claims = self._sessions.verified(bearer_token(request.headers.getall(hdrs.AUTHORIZATION, [])))
        except TokenRefused as refused:
            self._metrics.auth_failures.labels(refused.reason).inc()
            raise Problem(Slug.INVALID_TOKEN) from refused
        if scope not in claims.scopes:
            raise Problem(Slug.INSUFFICIENT_SCOPE)
        return claims

    async def _get_session(self, request: web.Request) -> web.Response:
        claims = self._claims(request, "session")
        with self._activity.serving():
            return _json(
                {
                    "workspace": self._config.workspace,
                    "tenant_id": claims.tenant_id,
                    "subject": claims.subject,
                    "session_id": claims.session_id,
                    "scopes": claims.scopes,
                    "expires_at": rfc3339(claims.expires_at),
                }
            )

    async def _get_tools(self, request: web.Request) -> web.Response:
        self._claims(request, "tools:list")
        with self._activity.serving():
            return _json({"tools": await self._tools.definitions()})

    async def _post_tool(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        claims = self._claims(request, f"tools:call:{name}")
        with self._activity.serving():
            call = await _body(request)
            return _json(await self._tools.call(name, call, _caller(claims)))


def _caller(claims: SessionClaims) -> Caller:
    """Pseudonyms of user and session: the same for each call, different in each workspace."""
    return Caller(
        subject=_pseudonym("subject", claims.workspace_uid, claims.subject),
        session=_pseudonym("session", claims.workspace_uid, claims.session_id),
    )


def _pseudonym(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


async def _body(request: web.Request) -> ToolCall:
    """The call that is asked for; Problem if the body is too large, ambiguous, or not a call."""
    if request.content_type != "application/json" or hdrs.CONTENT_ENCODING in request.headers:
        raise Problem(Slug.UNSUPPORTED_MEDIA_TYPE)
    data = await request.read()  # aiohttp raises 413 beyond client_max_size
    try:
        return decode(ToolCall, strict_json.loads(data, max_depth=_MAX_DEPTH))
    except strict_json.StrictJsonError as error:
        raise Problem(Slug.MALFORMED) from error
    except ShapeError as error:
        raise Problem(Slug.INVALID_FIELD, detail=f"It {error.problem}.", field=error.field) from error


def _json(value: Any) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type="application/json")


def _problem(problem: Problem, request_id: str) -> web.Response:
    response = web.Response(
        body=problem.body(request_id),
        status=problem.slug.status,
        content_type=CONTENT_TYPE,
        headers=problem.headers,
    )
    if problem.slug is Slug.INVALID_TOKEN:
        response.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
    return response
