from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bulkhead_wire import jws
from bulkhead_wire.keys import Jwks, SigningKey, jwks_json
from bulkhead_wire.operator_token import operator_audience, sign_operator_token, verify_operator_token
from bulkhead_wire.token import Expected, Refusal, TokenRefused, audience, new_claims, sign, verify

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000
UID = "3f0c2b7e-52f1-4f6e-9a3c-0d6f5f1f7b10"
KEY = SigningKey.from_seed(b"\x01" * 32)
STRANGER = SigningKey.from_seed(b"\x02" * 32)
JWKS = Jwks.parse(jwks_json([KEY]))
CLAIMS = {"iss": "bulkhead", "aud": operator_audience(UID), "iat": NOW, "exp": NOW + 60}
TYPE = "bh-operator+jwt"


def session_token() -> str:
    claims = new_claims(
        workspace_uid=UID,
        tenant_id="acme",
        subject="alice",
        scopes=("session",),
        epoch=0,
        now=NOW,
        ttl_seconds=60,
        session_id=bytes(16),
        token_id=bytes(16),
    )
    return sign(claims, KEY)


def refusal(token: str, now: float = NOW) -> Refusal:
    with pytest.raises(TokenRefused) as caught:
        verify_operator_token(token, JWKS, UID, now=now)
    return caught.value.reason


@pytest.mark.parametrize("now", [NOW - 30, NOW, NOW + 89])
def test_operator_is_known_by_its_token(now: int) -> None:
    """The operator could not ask, nor revoke."""
    verify_operator_token(sign_operator_token(UID, KEY, now=NOW), JWKS, UID, now=now)


WRONG: dict[str, tuple[Callable[[], str], Refusal]] = {
    "a session's token": (session_token, Refusal.HEADER),
    "another key": (lambda: sign_operator_token(UID, STRANGER, now=NOW), Refusal.UNKNOWN_KEY),
    "another workspace": (lambda: sign_operator_token("another", KEY, now=NOW), Refusal.AUDIENCE),
    "audience of sessions": (
        lambda: jws.signed(TYPE, {**CLAIMS, "aud": audience(UID)}, KEY),
        Refusal.AUDIENCE,
    ),
    "another issuer": (lambda: jws.signed(TYPE, {**CLAIMS, "iss": "x"}, KEY), Refusal.ISSUER),
    "longer than a minute": (lambda: jws.signed(TYPE, {**CLAIMS, "exp": NOW + 61}, KEY), Refusal.LIFETIME),
    "no end": (
        lambda: jws.signed(TYPE, {k: v for k, v in CLAIMS.items() if k != "exp"}, KEY),
        Refusal.CLAIMS,
    ),
    "ended": (lambda: sign_operator_token(UID, KEY, now=NOW - 90), Refusal.EXPIRED),
    "not yet begun": (lambda: sign_operator_token(UID, KEY, now=NOW + 31), Refusal.ISSUED_LATER),
}


@pytest.mark.parametrize(("make", "reason"), WRONG.values(), ids=WRONG.keys())
def test_nobody_else_is(make: Callable[[], str], reason: Refusal) -> None:
    """Whoever reaches the port would read the audit log and end sessions."""
    assert refusal(make()) is reason


def test_operator_token_opens_no_session() -> None:
    """Whoever sees one on its way could act as a user."""
    expected = Expected(issuer="bulkhead", audience=operator_audience(UID), workspace_uid=UID, epoch=0)
    with pytest.raises(TokenRefused) as caught:
        verify(sign_operator_token(UID, KEY, now=NOW), JWKS, expected, now=NOW)
    assert caught.value.reason is Refusal.HEADER
