"""Session tokens: JWS compact, Ed25519, bound to one incarnation of one workspace, at most ten minutes long.

Verified with `cryptography` alone. PyJWT reads the clock itself, takes a list as `aud`, ignores duplicate
keys and decodes base64url leniently; with all that checked first, it would add one call to Ed25519.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from bulkhead_wire import strict_json
from bulkhead_wire.keys import (
    Jwks,
    SigningKey,
    canonical_json,
    decode_base64url,
    encode_base64url,
    generate_key,
    jwks_json,
)

__all__ = [
    "ISSUER",
    "MAX_TTL_SECONDS",
    "Expected",
    "Jwks",
    "Refusal",
    "SessionClaims",
    "SigningKey",
    "TokenRefused",
    "audience",
    "generate_key",
    "jwks_json",
    "new_claims",
    "sign",
    "verify",
]

ISSUER: Final = "bulkhead"
MAX_TTL_SECONDS: Final = 600
SKEW_SECONDS: Final = 30  # how far two nodes' clocks may be apart
MAX_TOKEN_BYTES: Final = 4096
MAX_SCOPES: Final = 64
ID_BYTES: Final = 16  # of `sid` and `jti`

_TYPE: Final = "bh-session+jwt"
_MAX_INTEGER: Final = 2**53 - 1  # what every JSON reader keeps exact
_SUBJECT: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}", re.ASCII)
_TENANT: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", re.ASCII)
_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SCOPE: Final = re.compile(rf"[a-z]+(:{_LABEL}){{0,2}}", re.ASCII)  # no form of it is a wildcard


class Refusal(StrEnum):
    """Why a token was refused: for counters and audit inside, never for the caller."""

    TOO_LONG = "too-long"
    MALFORMED = "malformed"
    HEADER = "header"
    UNKNOWN_KEY = "unknown-key"
    SIGNATURE = "signature"
    CLAIMS = "claims"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    WORKSPACE = "workspace"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    ISSUED_LATER = "issued-later"
    LIFETIME = "lifetime"
    SCOPE = "scope"
    REVOKED = "revoked"


class TokenRefused(Exception):
    """The token is not to be trusted; `reason` stays inside."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(f"token refused: {reason}")
        self.reason = reason


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

    def wire(self) -> dict[str, str | int]:
        """The claims under their names on the wire."""
        return {
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
    )
    expected = Expected(issuer=ISSUER, audience=claims.audience, workspace_uid=workspace_uid, epoch=epoch)
    try:
        _check(_claims(claims.wire()), expected, now)
    except TokenRefused as error:
        raise ValueError(f"a token with these claims would be refused: {error.reason}") from error
    return claims


def sign(claims: SessionClaims, key: SigningKey) -> str:
    """The token; the same claims and key always give the same text."""
    header = canonical_json({"alg": "EdDSA", "kid": key.kid, "typ": _TYPE})
    payload = canonical_json(claims.wire())
    signed = f"{encode_base64url(header.encode('ascii'))}.{encode_base64url(payload.encode('ascii'))}"
    return f"{signed}.{encode_base64url(key.sign(signed.encode('ascii')))}"


def verify(token: str, jwks: Jwks, expected: Expected, *, now: float) -> SessionClaims:
    """The claims of a token signed by one of `jwks` for `expected`, in force at `now`; else TokenRefused.

    What a caller may do with it is a later question: compare `scopes`.
    """
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenRefused(Refusal.TOO_LONG)
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise TokenRefused(Refusal.MALFORMED)
    header = _segment(parts[0])
    if set(header) != {"alg", "kid", "typ"} or header["alg"] != "EdDSA" or header["typ"] != _TYPE:
        raise TokenRefused(Refusal.HEADER)  # so no crit, jku, x5u or jwk either
    kid = header["kid"]
    key = jwks.keys.get(kid) if isinstance(kid, str) else None
    if key is None:
        raise TokenRefused(Refusal.UNKNOWN_KEY)
    try:
        signature = decode_base64url(parts[2])
    except ValueError as error:
        raise TokenRefused(Refusal.MALFORMED) from error
    if not key.verifies(signature, f"{parts[0]}.{parts[1]}".encode("ascii")):
        raise TokenRefused(Refusal.SIGNATURE)
    claims = _claims(_segment(parts[1]))
    _check(claims, expected, now)
    return claims


def _segment(text: str) -> dict[str, Any]:
    try:
        value = strict_json.loads(decode_base64url(text), max_depth=8)
    except ValueError as error:
        raise TokenRefused(Refusal.MALFORMED) from error
    if not isinstance(value, dict):
        raise TokenRefused(Refusal.MALFORMED)
    return value


def _claims(wire: dict[str, Any]) -> SessionClaims:
    """Every claim present and of its type; unknown ones are ignored, so that a later issuer may add some."""
    scope = _text(wire, "scope")
    scopes = tuple(scope.split(" "))
    if len(scopes) > MAX_SCOPES or len(set(scopes)) != len(scopes) or not all(map(_SCOPE.fullmatch, scopes)):
        raise TokenRefused(Refusal.SCOPE)
    claims = SessionClaims(
        issuer=_text(wire, "iss"),
        audience=_text(wire, "aud"),
        workspace_uid=_text(wire, "ws"),
        tenant_id=_text(wire, "tn"),
        subject=_text(wire, "sub"),
        session_id=_text(wire, "sid"),
        token_id=_text(wire, "jti"),
        issued_at=_integer(wire, "iat"),
        not_before=_integer(wire, "nbf"),
        expires_at=_integer(wire, "exp"),
        scopes=scopes,
        epoch=_integer(wire, "ep"),
    )
    if not _SUBJECT.fullmatch(claims.subject) or not _TENANT.fullmatch(claims.tenant_id):
        raise TokenRefused(Refusal.CLAIMS)
    if not _is_id(claims.session_id) or not _is_id(claims.token_id):
        raise TokenRefused(Refusal.CLAIMS)
    return claims


def _check(claims: SessionClaims, expected: Expected, now: float) -> None:
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


def _text(wire: dict[str, Any], name: str) -> str:
    value = wire.get(name)
    if not isinstance(value, str):
        raise TokenRefused(Refusal.CLAIMS)
    return value


def _integer(wire: dict[str, Any], name: str) -> int:
    value = wire.get(name)
    if type(value) is not int or not 0 <= value <= _MAX_INTEGER:  # a bool is an int to isinstance
        raise TokenRefused(Refusal.CLAIMS)
    return value


def _is_id(text: str) -> bool:
    """Whether `text` encodes exactly 128 bits."""
    try:
        return len(decode_base64url(text)) == ID_BYTES
    except ValueError:
        return False
