"""Signed texts of ours: JWS compact, Ed25519, three header members and no other; why one is refused.

Verified with `cryptography` alone. PyJWT reads the clock itself, takes a list as `aud`, ignores duplicate
keys and decodes base64url leniently; with all that checked first, it would add one call to Ed25519.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from bulkhead_wire import strict_json
from bulkhead_wire.keys import canonical_json, decode_base64url, encode_base64url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkhead_wire.keys import Jwks, SigningKey

__all__ = [
    "MAX_TOKEN_BYTES",
    "SKEW_SECONDS",
    "Refusal",
    "TokenRefused",
    "integer",
    "opened",
    "signed",
    "text",
]

MAX_TOKEN_BYTES: Final = 4096
SKEW_SECONDS: Final = 30  # how far two nodes' clocks may be apart
_MAX_INTEGER: Final = 2**53 - 1  # what every JSON reader keeps exact


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
    REPLAY = "replay"
    PROOF = "proof"
    DELEGATION = "delegation"


class TokenRefused(Exception):
    """The token is not to be trusted; `reason` stays inside."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(f"token refused: {reason}")
        self.reason = reason


def signed(token_type: str, payload: Mapping[str, Any], key: SigningKey) -> str:
    """The token; the same payload and key always give the same text."""
    header = canonical_json({"alg": "EdDSA", "kid": key.kid, "typ": token_type})
    body = canonical_json(payload)
    text = f"{encode_base64url(header.encode('ascii'))}.{encode_base64url(body.encode('ascii'))}"
    return f"{text}.{encode_base64url(key.sign(text.encode('ascii')))}"


def opened(token: str, token_type: str, jwks: Jwks) -> dict[str, Any]:
    """The payload of a token of this type, signed by one of `jwks`; else TokenRefused."""
    if len(token) > MAX_TOKEN_BYTES:
        raise TokenRefused(Refusal.TOO_LONG)
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():
        raise TokenRefused(Refusal.MALFORMED)
    header = _segment(parts[0])
    if set(header) != {"alg", "kid", "typ"} or header["alg"] != "EdDSA" or header["typ"] != token_type:
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
    return _segment(parts[1])


def type_of(token: str) -> str | None:
    """The `typ` that a token claims, unverified: which rules to verify it by; None if that cannot be read."""
    try:
        found = _segment(token[:MAX_TOKEN_BYTES].partition(".")[0]).get("typ")
    except TokenRefused:
        return None
    return found if isinstance(found, str) else None


def text(payload: Mapping[str, Any], name: str) -> str:
    """A claim that is text."""
    value = payload.get(name)
    if not isinstance(value, str):
        raise TokenRefused(Refusal.CLAIMS)
    return value


def integer(payload: Mapping[str, Any], name: str) -> int:
    """A claim that is a whole number from 0."""
    value = payload.get(name)
    if type(value) is not int or not 0 <= value <= _MAX_INTEGER:  # a bool is an int to isinstance
        raise TokenRefused(Refusal.CLAIMS)
    return value


def _segment(encoded: str) -> dict[str, Any]:
    try:
        value = strict_json.loads(decode_base64url(encoded), max_depth=8)
    except ValueError as error:
        raise TokenRefused(Refusal.MALFORMED) from error
    if not isinstance(value, dict):
        raise TokenRefused(Refusal.MALFORMED)
    return value
