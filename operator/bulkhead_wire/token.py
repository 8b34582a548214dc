"""Session tokens: bound to one incarnation of one workspace, at most ten minutes long."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, cast

from bulkhead_wire import jws
from bulkhead_wire.jws import MAX_TOKEN_BYTES, SKEW_SECONDS, Refusal, TokenRefused
from bulkhead_wire.keys import (
    Jwks,
    SigningKey,
    decode_base64url,
    encode_base64url,
    generate_key,
    jwks_json,
)

__all__ = [
    "ISSUER",
    "MAX_ACTORS",
    "MAX_TOKEN_BYTES",
    "MAX_TTL_SECONDS",
    "SKEW_SECONDS",
    "Expected",
    "Jwks",
    "Refusal",
    "Role",
    "SessionClaims",
    "SigningKey",
    "TighterLimits",
    "TokenRefused",
    "audience",
    "check",
    "from_wire",
    "generate_key",
    "jwks_json",
    "new_claims",
    "sign",
    "verify",
]

ISSUER: Final = "bulkhead"
MAX_TTL_SECONDS: Final = 600
MAX_SCOPES: Final = 64
MAX_ACTORS: Final = 4
ID_BYTES: Final = 16  # of `sid` and `jti`

_TYPE: Final = "bh-session+jwt"
_THUMBPRINT_BYTES: Final = 32
_SUBJECT: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
_TENANT: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", re.ASCII)
_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SCOPE: Final = re.compile(rf"[a-z]+(:{_LABEL}){{0,2}}", re.ASCII)  # no form of it is a wildcard

Role = Literal["user", "auditor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TighterLimits:
    """What this token may spend at most, where that is less than the workspace's own limits."""

    rpm: int | None = None  # requests a minute
    tpm: int | None = None  # tokens a minute
    tpd: int | None = None  # tokens a day (UTC)
    conc: int | None = None  # calls at once

    def wire(self) -> dict[str, int]:
        """Those that are set."""
        values = {name: getattr(self, name) for name in _LIMITS}
        return {name: value for name, value in values.items() if value is not None}


_LIMITS: Final = tuple(field.name for field in fields(TighterLimits))


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClaims:
    """What a token says; times in whole seconds since 1970."""

    issuer: str
    audience: str
    workspace_uid: str
    tenant_id: str  # for display only: the workspace UID is the identity
    subject: str
    session_id: str
    token_id: str
    issued_at: int
    not_before: int
    expires_at: int
    scopes: tuple[str, ...]
    epoch: int
    role: Role = "user"
    actors: tuple[str, ...] = ()  # who acts for the subject, the latest first
    proof_key: str | None = None  # RFC 7638 thumbprint of the key that each call must prove to hold
    limits: TighterLimits | None = None

    def wire(self) -> dict[str, Any]:
        """The claims under their names on the wire; those that say nothing are left out."""
        wire: dict[str, Any] = {
            "iss": self.issuer,
            "aud": self.audience,
            "ws": self.workspace_uid,
            "tn": self.tenant_id,
            "sub": self.subject,
            "sid": self.session_id,
            "jti": self.token_id,
            "iat": self.issued_at,
            "nbf": self.not_before,
            "exp": self.expires_at,
            "scope": " ".join(self.scopes),
            "ep": self.epoch,
        }
        if self.role != "user":
            wire["role"] = self.role
        chain: dict[str, Any] = {}
        for actor in reversed(self.actors):
            chain = {"sub": actor, "act": chain} if chain else {"sub": actor}
        if chain:
            wire["act"] = chain
        if self.proof_key is not None:
            wire["cnf"] = {"jkt": self.proof_key}
        if self.limits is not None:
            wire["lim"] = self.limits.wire()
        return wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a verifier accepts: its own workspace, its own issuer, no epoch older than its own."""

    issuer: str
    audience: str
    workspace_uid: str
    epoch: int


def audience(workspace_uid: str) -> str:
    """The `aud` of a workspace's gateway."""
    return f"bulkhead:{workspace_uid}:gateway"


def new_claims(  # noqa: PLR0913 - one record, each part named
    *,
    workspace_uid: str,
    tenant_id: str,
    subject: str,
    scopes: tuple[str, ...],
    epoch: int,
    now: float,
    ttl_seconds: int,
    session_id: bytes,
    token_id: bytes,
    role: Role = "user",
    actors: tuple[str, ...] = (),
    proof_key: str | None = None,
    limits: TighterLimits | None = None,
) -> SessionClaims:
    """Claims that `verify` accepts until `now + ttl_seconds`; ValueError names the part that it would refuse.

    `session_id` and `token_id` are 16 random bytes each.
    """
    issued_at = int(now)
    claims = SessionClaims(
        issuer=ISSUER,
        audience=audience(workspace_uid),
        workspace_uid=workspace_uid,
        tenant_id=tenant_id,
        subject=subject,
        session_id=encode_base64url(session_id),
        token_id=encode_base64url(token_id),
        issued_at=issued_at,
        not_before=issued_at,
        expires_at=issued_at + ttl_seconds,
        scopes=scopes,
        epoch=epoch,
        role=role,
        actors=actors,
        proof_key=proof_key,
        limits=limits,
    )
    expected = Expected(issuer=ISSUER, audience=claims.audience, workspace_uid=workspace_uid, epoch=epoch)
    try:
        check(from_wire(claims.wire()), expected, now)
    except TokenRefused as error:
        raise ValueError(f"a token with these claims would be refused: {error.reason}") from error
    return claims


def sign(claims: SessionClaims, key: SigningKey) -> str:
    """The token; the same claims and key always give the same text."""
    return jws.signed(_TYPE, claims.wire(), key)


def verify(token: str, jwks: Jwks, expected: Expected, *, now: float) -> SessionClaims:
    """The claims of a token signed by one of `jwks` for `expected`, in force at `now`; else TokenRefused.

    What a caller may do with it is a later question: compare `scopes`.
    """
    claims = from_wire(jws.opened(token, _TYPE, jwks))
    check(claims, expected, now)
    return claims


def from_wire(wire: dict[str, Any]) -> SessionClaims:
    """Every claim present and of its type; unknown ones are ignored, so that a later issuer may add some."""
    scope = jws.text(wire, "scope")
    scopes = tuple(scope.split(" "))
    if len(scopes) > MAX_SCOPES or len(set(scopes)) != len(scopes) or not all(map(_SCOPE.fullmatch, scopes)):
        raise TokenRefused(Refusal.SCOPE)
    claims = SessionClaims(
        issuer=jws.text(wire, "iss"),
        audience=jws.text(wire, "aud"),
        workspace_uid=jws.text(wire, "ws"),
        tenant_id=jws.text(wire, "tn"),
        subject=jws.text(wire, "sub"),
        session_id=jws.text(wire, "sid"),
        token_id=jws.text(wire, "jti"),
        issued_at=jws.integer(wire, "iat"),
        not_before=jws.integer(wire, "nbf"),
        expires_at=jws.integer(wire, "exp"),
        scopes=scopes,
        epoch=jws.integer(wire, "ep"),
        role=_role(wire),
        actors=_actors(wire),
        proof_key=_proof_key(wire),
        limits=_limits(wire),
    )
    if not _SUBJECT.fullmatch(claims.subject) or not _TENANT.fullmatch(claims.tenant_id):
        raise TokenRefused(Refusal.CLAIMS)
    if not _encodes(claims.session_id, ID_BYTES) or not _encodes(claims.token_id, ID_BYTES):
        raise TokenRefused(Refusal.CLAIMS)
    return claims


def check(claims: SessionClaims, expected: Expected, now: float) -> None:
    """TokenRefused with the first rule that the claims break."""
    lifetime_seconds = claims.expires_at - claims.issued_at
    rules = (
        (claims.issuer == expected.issuer, Refusal.ISSUER),
        (claims.audience == expected.audience, Refusal.AUDIENCE),
        (claims.workspace_uid == expected.workspace_uid, Refusal.WORKSPACE),
        (now < claims.expires_at + SKEW_SECONDS, Refusal.EXPIRED),
        (now >= claims.not_before - SKEW_SECONDS, Refusal.NOT_YET_VALID),
        (now >= claims.issued_at - SKEW_SECONDS, Refusal.ISSUED_LATER),
        (0 < lifetime_seconds <= MAX_TTL_SECONDS, Refusal.LIFETIME),
        (claims.epoch >= expected.epoch, Refusal.REVOKED),
    )
    for holds, reason in rules:
        if not holds:
            raise TokenRefused(reason)


# What follows narrows a token. A member not understood there may be a bound not kept, so it is refused.


def _role(wire: dict[str, Any]) -> Role:
    role = wire.get("role", "user")
    if role not in ("user", "auditor"):
        raise TokenRefused(Refusal.CLAIMS)
    return cast("Role", role)


def _actors(wire: dict[str, Any]) -> tuple[str, ...]:
    """The chain of `act` (RFC 8693, 4.1), outermost first."""
    actors: list[str] = []
    holder = wire
    while "act" in holder:
        holder = holder["act"]
        if not isinstance(holder, dict) or not {"sub"} <= set(holder) <= {"sub", "act"}:
            raise TokenRefused(Refusal.CLAIMS)
        actor = jws.text(holder, "sub")
        if not _SUBJECT.fullmatch(actor) or len(actors) == MAX_ACTORS:
            raise TokenRefused(Refusal.CLAIMS)
        actors.append(actor)
    return tuple(actors)


def _proof_key(wire: dict[str, Any]) -> str | None:
    """The one confirmation method that we know (RFC 9449, 6.1)."""
    if "cnf" not in wire:
        return None
    confirmation = wire["cnf"]
    if not isinstance(confirmation, dict) or set(confirmation) != {"jkt"}:
        raise TokenRefused(Refusal.CLAIMS)
    thumbprint = jws.text(confirmation, "jkt")
    if not _encodes(thumbprint, _THUMBPRINT_BYTES):
        raise TokenRefused(Refusal.CLAIMS)
    return thumbprint


def _limits(wire: dict[str, Any]) -> TighterLimits | None:
    if "lim" not in wire:
        return None
    members = wire["lim"]
    if not isinstance(members, dict) or not set(members) <= set(_LIMITS):
        raise TokenRefused(Refusal.CLAIMS)
    values = {name: jws.integer(members, name) for name in members}
    if 0 in values.values():  # a token that may do nothing is a mistake of its maker
        raise TokenRefused(Refusal.CLAIMS)
    return TighterLimits(**values)


def _encodes(text: str, size: int) -> bool:
    """Whether `text` is the base64url of exactly `size` bytes."""
    try:
        return len(decode_base64url(text)) == size
    except ValueError:
        return False
