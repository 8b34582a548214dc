"""What a session may ask about itself, and the narrower tokens that it may hand on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from bulkhead_sandbox.clock import rfc3339
from bulkhead_sandbox.gateway.http.answers import json_answer
from bulkhead_sandbox.gateway.http.bodies import shaped_body
from bulkhead_sandbox.gateway.http.calls import Call, Route
from bulkhead_sandbox.gateway.limits import NO_TOKENS
from bulkhead_sandbox.gateway.sessions import Wanted
from bulkhead_sandbox.gateway.sessions.delegation import CannotDelegate
from bulkhead_sandbox.problems import Problem, Slug
from bulkhead_sandbox.shape import Bounds
from bulkhead_wire.token import TighterLimits

if TYPE_CHECKING:
    from aiohttp import web

    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.gateway.limits import Limiter
    from bulkhead_sandbox.gateway.sessions import Delegation
    from bulkhead_sandbox.gateway.trail import Trail

__all__ = ["OwnSession"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsBody:
    """Tighter limits, named as in the claim `lim`."""

    rpm: Annotated[int | None, Bounds(1, 2**53 - 1)] = None
    tpm: Annotated[int | None, Bounds(1, 2**53 - 1)] = None
    tpd: Annotated[int | None, Bounds(1, 2**53 - 1)] = None
    conc: Annotated[int | None, Bounds(1, 2**53 - 1)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeBody:
    """The body of POST /v1/token/exchange."""

    actor: Annotated[str, Bounds(1, 64)]  # who will act for the subject
    scopes: Annotated[tuple[str, ...], Bounds(1, 64)]
    ttl_seconds: Annotated[int, Bounds(1, 600)] = 600
    jkt: Annotated[str | None, Bounds(43, 43)] = None
    limits: LimitsBody | None = None


class OwnSession:
    """Nothing here tells of anybody else."""

    def __init__(
        self, workspace: str, *, delegation: Delegation, limiter: Limiter, audit: Trail, clock: Clock
    ) -> None:
        self._workspace = workspace
        self._delegation = delegation
        self._limiter = limiter
        self._audit = audit
        self._clock = clock

    def routes(self) -> tuple[Route, ...]:
        """For the surface."""
        return (
            Route(method="GET", path="/v1/session", scope="session", handler=self._get, role=None),
            Route(method="GET", path="/v1/usage", scope="session", handler=self._usage),
            Route(method="POST", path="/v1/token/exchange", scope="delegate", handler=self._exchange),
        )

    async def _get(self, call: Call) -> web.Response:
        claims = call.claims
        return json_answer(
            {
                "workspace": self._workspace,
                "tenant_id": claims.tenant_id,
                "subject": claims.subject,
                "session_id": claims.session_id,
                "role": claims.role,
                "actors": claims.actors,
                "scopes": claims.scopes,
                "expires_at": rfc3339(claims.expires_at),
            }
        )

    async def _usage(self, call: Call) -> web.Response:
        return json_answer(self._limiter.usage(call.claims.subject, call.claims.limits))

    async def _exchange(self, call: Call) -> web.Response:
        body = await shaped_body(ExchangeBody, call.request)
        wanted = Wanted(
            actor=body.actor,
            scopes=body.scopes,
            ttl_seconds=body.ttl_seconds,
            proof_key=body.jkt,
            limits=None if body.limits is None else _limits(body.limits),
        )
        with self._limiter.admit(call.claims.subject, NO_TOKENS, call.claims.limits) as admission:
            try:
                token, made = self._delegation.make(call.token, call.claims, wanted, self._clock())
            except CannotDelegate as error:
                # Wanting more is not a slip of the pen: it is refused as any other missing right.
                if error.field == "scopes":
                    raise Problem(Slug.INSUFFICIENT_SCOPE) from error
                raise Problem(Slug.INVALID_FIELD, detail=f"It {error.problem}.", field=error.field) from error
            await self._audit.point(
                "session",
                "allow",
                why="delegated",
                target={"jti": made.token_id, "actor": body.actor},
                **call.who,
            )
            return json_answer(
                {
                    "access_token": token,
                    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                    "token_type": "Bearer" if made.proof_key is None else "DPoP",
                    "expires_in": made.expires_at - made.issued_at,
                    "scope": " ".join(made.scopes),
                },
                headers=admission.headers(),
            )


def _limits(body: LimitsBody) -> TighterLimits:
    return TighterLimits(rpm=body.rpm, tpm=body.tpm, tpd=body.tpd, conc=body.conc)
