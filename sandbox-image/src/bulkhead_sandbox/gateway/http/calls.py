"""One request of a verified session, and the table that says what each may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from bulkhead_sandbox.gateway.who import Who, audited

if TYPE_CHECKING:
    from bulkhead_wire.token import Role, SessionClaims

__all__ = ["Call", "Handler", "Route"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """Who asks, with which token, and the request."""

    claims: SessionClaims
    token: str
    request: web.Request
    request_id: str

    @property
    def who(self) -> Who:
        """For the audit log."""
        return audited(self.claims, self.request_id)


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A path, and what a token must say to use it."""

    method: str
    path: str
    scope: str | None  # {name} is the path's; None: any token in force
    handler: Handler
    role: Role | None = "user"  # None: either

    def allows(self, claims: SessionClaims, parameters: dict[str, str]) -> bool:
        """Whether the token may: asked before anything that would tell what exists."""
        if self.role is not None and claims.role != self.role:
            return False
        return self.scope is None or self.scope.format_map(parameters) in claims.scopes
