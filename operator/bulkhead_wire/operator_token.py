"""How an operator shows a gateway that it is the one: a minute long, of a type that opens no session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead_wire import jws
from bulkhead_wire.jws import SKEW_SECONDS, Refusal, TokenRefused

if TYPE_CHECKING:
    from bulkhead_wire.keys import Jwks, SigningKey

__all__ = ["TTL_SECONDS", "operator_audience", "sign_operator_token", "verify_operator_token"]

TTL_SECONDS: Final = 60
_ISSUER: Final = "bulkhead"
_TYPE: Final = "bh-operator+jwt"


def operator_audience(workspace_uid: str) -> str:
    """The `aud` of a gateway's operator port."""
    return f"bulkhead:{workspace_uid}:operator"


def sign_operator_token(workspace_uid: str, key: SigningKey, *, now: float) -> str:
    """A token for one workspace's gateway, from now on for a minute; `key` signs its session tokens too."""
    issued_at = int(now)
    claims = {
        "iss": _ISSUER,
        "aud": operator_audience(workspace_uid),
        "iat": issued_at,
        "exp": issued_at + TTL_SECONDS,
    }
    return jws.signed(_TYPE, claims, key)


def verify_operator_token(token: str, jwks: Jwks, workspace_uid: str, *, now: float) -> None:
    """TokenRefused unless one of `jwks` signed it for this workspace's operator port and it is in force."""
    claims = jws.opened(token, _TYPE, jwks)
    issued_at, expires_at = jws.integer(claims, "iat"), jws.integer(claims, "exp")
    rules = (
        (jws.text(claims, "iss") == _ISSUER, Refusal.ISSUER),
        (jws.text(claims, "aud") == operator_audience(workspace_uid), Refusal.AUDIENCE),
        (now < expires_at + SKEW_SECONDS, Refusal.EXPIRED),
        (now >= issued_at - SKEW_SECONDS, Refusal.ISSUED_LATER),
        (0 < expires_at - issued_at <= TTL_SECONDS, Refusal.LIFETIME),
    )
    for holds, reason in rules:
        if not holds:
            raise TokenRefused(reason)
