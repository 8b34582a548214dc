"""`POST /v1/workspaces/{name}/token`: who asks, whether they may, then a token; each step can only refuse."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import hdrs, web

from bulkhead import names
from bulkhead.errors import KubeError
from bulkhead.issuer import mint
from bulkhead.issuer.problems import Problem, Slug, answer
from bulkhead.issuer.request import MAX_BODY_BYTES, BadRequest, TokenRequest, parse
from bulkhead.issuer.reviews import Caller
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from bulkhead.issuer.allowance import Allowance
    from bulkhead.issuer.metrics import Metrics
    from bulkhead.issuer.reviews import Reviews
    from bulkhead.kube.client import KubeClient

__all__ = ["Issuer"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_CALLER: Final = web.RequestKey("caller", Caller)
_OF_STATUS: Final = {404: Slug.NOT_FOUND, 405: Slug.METHOD_NOT_ALLOWED, 413: Slug.BODY_TOO_LARGE}
_MAX_TOKEN_CHARACTERS: Final = 8000  # aiohttp reads header lines of 8,190 bytes


@dataclass(frozen=True, kw_only=True)
class Issuer:
    """Holds no state that a second replica would need: every right and key is asked for anew."""

    client: KubeClient
    reviews: Reviews
    strangers: Allowance  # by address, before anybody is known
    callers: Allowance  # by user name
    metrics: Metrics
    operator_namespace: str
    monotonic: Callable[[], float]
    wall: Callable[[], float]
    random_bytes: Callable[[int], bytes]

    def app(self) -> web.Application:
        """The one route."""
        app = web.Application(middlewares=[self._answer], client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/v1/workspaces/{name}/token", self._post_token)
        return app

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Every answer has a request id and is never stored; every failure is a problem and one log line."""
        request_id = str(uuid.uuid4())
        try:
            response = await handler(request)
        except Problem as problem:
            response = self._refusal(request, problem, request_id)
        except web.HTTPException as error:
            response = self._refusal(
                request, Problem(_OF_STATUS.get(error.status, Slug.MALFORMED)), request_id
            )
        except (KubeError, mint.UnusableKey) as error:
            logs.error(LogEvent.ISSUER_FAILED, error=str(error), request_id=request_id)
            response = self._refusal(request, Problem(Slug.UNAVAILABLE, retry_after_seconds=1), request_id)
        except Exception as error:  # noqa: BLE001 - the outermost place: a bug must not become a stack trace
            logs.error(LogEvent.ISSUER_FAILED, exception=error, error=type(error).__name__)
            response = self._refusal(request, Problem(Slug.UNAVAILABLE), request_id)
        response.headers["X-Request-Id"] = request_id
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        return response

    def _refusal(self, request: web.Request, problem: Problem, request_id: str) -> web.Response:
        self.metrics.requests.labels(problem.slug.slug).inc()
        caller: Caller | None = request.get(_CALLER)
        logs.warning(
            LogEvent.TOKEN_REFUSED,
            reason=problem.reason,
            caller=None if caller is None else caller.username,
            workspace=request.match_info.get("name", "")[:63],
            request_id=request_id,
        )
        return answer(problem, request_id)

    async def _post_token(self, request: web.Request) -> web.Response:
        caller = await self._caller(request)
        request[_CALLER] = caller
        name = request.match_info["name"]
        if wait_seconds := self.callers.take(caller.username, self.monotonic()):
            raise Problem(Slug.RATE_LIMITED, retry_after_seconds=wait_seconds)
        wanted = await _wanted(request)
        # The right first: who has none must not learn which workspaces there are.
        if not names.is_workspace_name(name) or not await self.reviews.may_issue(caller, name, wanted.role):
            raise Problem(Slug.FORBIDDEN)
        made, workspace = await self._make(name, wanted)
        claims = made.claims
        logs.info(
            LogEvent.TOKEN_ISSUED,
            caller=caller.username,
            workspace=name,
            workspace_uid=claims.workspace_uid,
            user=claims.subject,
            scopes=list(claims.scopes),
            role=claims.role,
            session_id=claims.session_id,
            token_id=claims.token_id,
            expires_at=_rfc3339(claims.expires_at),
        )
        self.metrics.requests.labels("issued").inc()
        gateway = (workspace.get("status") or {}).get("gateway") or {}
        return web.Response(
            body=orjson.dumps(
                {
                    "token": made.reveal(),
                    "expires_at": _rfc3339(claims.expires_at),
                    "session_id": claims.session_id,
                    "gateway_url": gateway.get("url"),
                    "warnings": list(mint.warnings(workspace, claims.scopes)),
                }
            ),
            status=201,
            content_type="application/json",
        )

    async def _caller(self, request: web.Request) -> Caller:
        """Who asks; the API server is not asked for more than a stranger's allowance of unknown tokens."""
        headers = request.headers.getall(hdrs.AUTHORIZATION, [])
        scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
        if scheme.lower() != "bearer" or not token.isascii() or not 0 < len(token) <= _MAX_TOKEN_CHARACTERS:
            raise Problem(Slug.UNAUTHENTICATED)
        if not self.reviews.remembers(token):
            wait_seconds = self.strangers.take(request.remote or "", self.monotonic())
            if wait_seconds:
                raise Problem(Slug.RATE_LIMITED, retry_after_seconds=wait_seconds, reason="stranger-rate")
        caller = await self.reviews.caller(token)
        if caller is None:
            raise Problem(Slug.UNAUTHENTICATED, reason="token-not-accepted")
        return caller

    async def _make(self, name: str, wanted: TokenRequest) -> tuple[mint.Made, dict[str, Any]]:
        workspace = await self.client.find(names.WORKSPACE_KIND, name)
        if workspace is None:
            raise Problem(Slug.NOT_FOUND)
        try:
            key = await mint.signing_key(self.client, workspace, self.operator_namespace)
        except mint.NotMade as error:
            raise Problem(Slug.NOT_READY, detail=str(error), retry_after_seconds=5) from error
        try:
            made = mint.make(
                workspace,
                key,
                wanted,
                now=self.wall(),
                session_id=self.random_bytes(mint.ID_BYTES),
                token_id=self.random_bytes(mint.ID_BYTES),
            )
        except mint.NotMade as error:
            raise Problem(Slug.INVALID_FIELD, detail=str(error), field="user, scopes") from error
        return made, workspace


async def _wanted(request: web.Request) -> TokenRequest:
    if request.content_type != "application/json" or hdrs.CONTENT_ENCODING in request.headers:
        raise Problem(Slug.UNSUPPORTED_MEDIA_TYPE)
    try:
        return parse(await request.read())  # aiohttp raises 413 beyond client_max_size
    except BadRequest as error:
        slug = Slug.MALFORMED if error.field is None else Slug.INVALID_FIELD
        raise Problem(slug, detail=error.problem, field=error.field) from error


def _rfc3339(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
