from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkhead_wire.keys import Jwks, SigningKey, encode_base64url, jwks_json
from bulkhead_wire.token import (
    Expected,
    Refusal,
    SessionClaims,
    TighterLimits,
    TokenRefused,
    audience,
    new_claims,
    sign,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_800_000_000
UID = "3f0c2b7e-52f1-4f6e-9a3c-0d6f5f1f7b10"
KEY = SigningKey.from_seed(b"\x01" * 32)
STRANGER = SigningKey.from_seed(b"\x02" * 32)
JWKS = Jwks.parse(jwks_json([KEY]))
EXPECTED = Expected(issuer="bulkhead", audience=audience(UID), workspace_uid=UID, epoch=3)
CLAIMS = new_claims(
    workspace_uid=UID,
    tenant_id="acme-corp",
    subject="alice",
    scopes=("session", "tools:list", "tools:call:search"),
    epoch=3,
    now=NOW,
    ttl_seconds=300,
    session_id=bytes(range(16)),
    token_id=bytes(range(16, 32)),
)
TOKEN = sign(CLAIMS, KEY)
THUMBPRINT = encode_base64url(b"\x07" * 32)
HEADER = {"alg": "EdDSA", "kid": KEY.kid, "typ": "bh-session+jwt"}


def signed(header: bytes | dict[str, Any], payload: bytes | dict[str, Any], key: SigningKey = KEY) -> str:
    """Whatever is given, properly signed: what only a holder of the key could send."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    head = ".".join(map(encode_base64url, parts))
    return f"{head}.{encode_base64url(key.sign(head.encode()))}"


def with_claims(**changes: Any) -> str:
    """A signed token whose payload differs; None leaves a claim out."""
    payload = {**CLAIMS.wire(), **changes}
    return signed(HEADER, {name: value for name, value in payload.items() if value is not None})


def chain(*actors: str) -> dict[str, Any]:
    """The `act` of RFC 8693, the first being the latest."""
    first, *rest = actors
    return {"sub": first, "act": chain(*rest)} if rest else {"sub": first}


def refusal(token: str, *, now: float = NOW, jwks: Jwks = JWKS, expected: Expected = EXPECTED) -> Refusal:
    with pytest.raises(TokenRefused) as caught:
        verify(token, jwks, expected, now=now)
    return caught.value.reason


def test_signed_token_verifies_to_the_same_claims() -> None:
    """Nobody could open a session at all."""
    assert verify(TOKEN, JWKS, EXPECTED, now=NOW) == CLAIMS


def test_token_is_a_jws_that_another_implementation_reads() -> None:
    """The format would be a private one, and no other language could check it."""
    key = jwt.PyJWK(KEY.jwk())
    no_clock: Any = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    read = jwt.decode(TOKEN, key, algorithms=["EdDSA"], audience=audience(UID), options=no_clock)
    assert read == CLAIMS.wire()


_PARTS = TOKEN.split(".")
_HEADER_JSON = json.dumps(HEADER).encode()

WRONG: dict[str, tuple[Callable[[], str], Refusal]] = {
    "empty": (lambda: "", Refusal.MALFORMED),
    "longer than 4 KiB": (lambda: with_claims(extra="x" * 4000), Refusal.TOO_LONG),
    "two parts": (lambda: ".".join(_PARTS[:2]), Refusal.MALFORMED),
    "four parts": (lambda: TOKEN + ".x", Refusal.MALFORMED),
    "padded base64": (lambda: ".".join([_PARTS[0] + "=", *_PARTS[1:]]), Refusal.MALFORMED),
    "newline in base64": (lambda: ".".join([_PARTS[0], _PARTS[1], _PARTS[2] + "\n"]), Refusal.MALFORMED),
    "not ascii": (lambda: ".".join([_PARTS[0], _PARTS[1], "é"]), Refusal.MALFORMED),
    "header no object": (lambda: signed(b"[]", CLAIMS.wire()), Refusal.MALFORMED),
    "header no json": (lambda: signed(b"alg", CLAIMS.wire()), Refusal.MALFORMED),
    "payload no object": (lambda: signed(HEADER, b"7"), Refusal.MALFORMED),
    "payload nested deeply": (lambda: with_claims(x=[[[[[[[[[]]]]]]]]]), Refusal.MALFORMED),
    "payload not utf-8": (lambda: signed(HEADER, b'{"iss": "\xff"}'), Refusal.MALFORMED),
    "alg none": (lambda: signed({**HEADER, "alg": "none"}, CLAIMS.wire()), Refusal.HEADER),
    "alg HS256": (lambda: signed({**HEADER, "alg": "HS256"}, CLAIMS.wire()), Refusal.HEADER),
    "typ JWT": (lambda: signed({**HEADER, "typ": "JWT"}, CLAIMS.wire()), Refusal.HEADER),
    "no typ": (lambda: signed({"alg": "EdDSA", "kid": KEY.kid}, CLAIMS.wire()), Refusal.HEADER),
    **{
        f"header {name}": (partial(signed, {**HEADER, name: ["x"]}, CLAIMS.wire()), Refusal.HEADER)
        for name in ("crit", "jku", "x5u", "jwk", "x5c", "b64")
    },
    "alg twice": (
        lambda: signed(_HEADER_JSON[:-1] + b', "alg": "EdDSA"}', CLAIMS.wire()),
        Refusal.MALFORMED,
    ),
    "sub twice": (
        lambda: signed(HEADER, json.dumps(CLAIMS.wire()).encode()[:-1] + b', "sub": "mallory"}'),
        Refusal.MALFORMED,
    ),
    "kid unknown": (lambda: signed({**HEADER, "kid": STRANGER.kid}, CLAIMS.wire()), Refusal.UNKNOWN_KEY),
    "kid no text": (lambda: signed({**HEADER, "kid": ["x"]}, CLAIMS.wire()), Refusal.UNKNOWN_KEY),
    "another key's signature": (lambda: signed(HEADER, CLAIMS.wire(), STRANGER), Refusal.SIGNATURE),
    "another token's signature": (
        lambda: ".".join([*_PARTS[:2], with_claims(sub="mallory").split(".")[2]]),
        Refusal.SIGNATURE,
    ),
    "signature cut": (lambda: ".".join([*_PARTS[:2], _PARTS[2][:40]]), Refusal.SIGNATURE),
    "issuer": (lambda: with_claims(iss="bulkhead2"), Refusal.ISSUER),
    "issuer only a prefix": (lambda: with_claims(iss="bulk"), Refusal.ISSUER),
    "audience": (lambda: with_claims(aud=audience("another")), Refusal.AUDIENCE),
    "audience a list": (lambda: with_claims(aud=[audience(UID)]), Refusal.CLAIMS),
    "workspace": (lambda: with_claims(ws="another"), Refusal.WORKSPACE),
    "lifetime of 601 s": (lambda: with_claims(exp=NOW + 601), Refusal.LIFETIME),
    "ends before it begins": (lambda: with_claims(iat=NOW + 20, exp=NOW + 10), Refusal.LIFETIME),
    "expired": (lambda: with_claims(iat=NOW - 330, nbf=NOW - 330, exp=NOW - 30), Refusal.EXPIRED),
    "begins later": (lambda: with_claims(nbf=NOW + 31), Refusal.NOT_YET_VALID),
    "issued later": (lambda: with_claims(iat=NOW + 31), Refusal.ISSUED_LATER),
    "epoch before ours": (lambda: with_claims(ep=2), Refusal.REVOKED),
    **{f"no {name}": (partial(with_claims, **{name: None}), Refusal.CLAIMS) for name in CLAIMS.wire()},
    "exp a float": (lambda: with_claims(exp=NOW + 300.5), Refusal.CLAIMS),
    "exp text": (lambda: with_claims(exp=str(NOW + 300)), Refusal.CLAIMS),
    "ep true": (lambda: with_claims(ep=True), Refusal.CLAIMS),
    "ep negative": (lambda: with_claims(ep=-1), Refusal.CLAIMS),
    "exp beyond 2^53": (lambda: with_claims(exp=2**53), Refusal.CLAIMS),
    "sub empty": (lambda: with_claims(sub=""), Refusal.CLAIMS),
    "sub with a slash": (lambda: with_claims(sub="../bob"), Refusal.CLAIMS),
    "sub of 65": (lambda: with_claims(sub="a" * 65), Refusal.CLAIMS),
    "sub with newline": (lambda: with_claims(sub="alice\n"), Refusal.CLAIMS),
    "tenant with a space": (lambda: with_claims(tn="acme corp"), Refusal.CLAIMS),
    "sid of 120 bits": (lambda: with_claims(sid=encode_base64url(b"x" * 15)), Refusal.CLAIMS),
    "jti no base64": (lambda: with_claims(jti="*" * 22), Refusal.CLAIMS),
    "no scope": (lambda: with_claims(scope=""), Refusal.SCOPE),
    "wildcard": (lambda: with_claims(scope="tools:call:*"), Refusal.SCOPE),
    "scope twice": (lambda: with_claims(scope="session session"), Refusal.SCOPE),
    "two spaces": (lambda: with_claims(scope="session  tools:list"), Refusal.SCOPE),
    "role unknown": (lambda: with_claims(role="admin"), Refusal.CLAIMS),
    "role a list": (lambda: with_claims(role=["auditor"]), Refusal.CLAIMS),
    "act a text": (lambda: with_claims(act="agent"), Refusal.CLAIMS),
    "act empty": (lambda: with_claims(act={}), Refusal.CLAIMS),
    "act with an unknown member": (lambda: with_claims(act={"sub": "a", "iss": "x"}), Refusal.CLAIMS),
    "act of a bad name": (lambda: with_claims(act={"sub": "../a"}), Refusal.CLAIMS),
    "act of five": (lambda: with_claims(act=chain("a", "b", "c", "d", "e")), Refusal.CLAIMS),
    "cnf a text": (lambda: with_claims(cnf=THUMBPRINT), Refusal.CLAIMS),
    "cnf of another method": (lambda: with_claims(cnf={"x5t#S256": THUMBPRINT}), Refusal.CLAIMS),
    "cnf of two methods": (lambda: with_claims(cnf={"jkt": THUMBPRINT, "kid": "x"}), Refusal.CLAIMS),
    "jkt too short": (lambda: with_claims(cnf={"jkt": THUMBPRINT[:-2]}), Refusal.CLAIMS),
    "lim a list": (lambda: with_claims(lim=[1]), Refusal.CLAIMS),
    "lim of an unknown kind": (lambda: with_claims(lim={"rps": 1}), Refusal.CLAIMS),
    "lim 0": (lambda: with_claims(lim={"rpm": 0}), Refusal.CLAIMS),
    "lim negative": (lambda: with_claims(lim={"rpm": -1}), Refusal.CLAIMS),
    "lim true": (lambda: with_claims(lim={"rpm": True}), Refusal.CLAIMS),
    "65 scopes": (lambda: with_claims(scope=" ".join(f"s:{i}" for i in range(65))), Refusal.SCOPE),
}


@pytest.mark.parametrize(("make", "reason"), WRONG.values(), ids=WRONG.keys())
def test_each_rule_refuses_on_its_own(make: Callable[[], str], reason: Refusal) -> None:
    """A rule that no token breaks alone may be gone without anybody noticing."""
    assert refusal(make()) is reason


@given(st.data())
def test_any_changed_character_is_refused(data: st.DataObject) -> None:
    """Two texts for one token would make any cache or audit by token ambiguous; one bit could be forged."""
    at = data.draw(st.integers(0, len(TOKEN) - 1))
    character = data.draw(st.characters(min_codepoint=1, max_codepoint=255).filter(lambda c: c != TOKEN[at]))
    with pytest.raises(TokenRefused):
        verify(TOKEN[:at] + character + TOKEN[at + 1 :], JWKS, EXPECTED, now=NOW)


@given(st.text(max_size=200))
def test_any_text_is_refused_and_nothing_else_raised(text: str) -> None:
    """A parser's own error would be an answer of its own: a 500 instead of a 401."""
    with pytest.raises(TokenRefused):
        verify(text, JWKS, EXPECTED, now=NOW)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_claims_of_any_type_are_refused_and_nothing_else_raised(value: Any) -> None:
    """A signer with a bug must not crash a verifier."""
    for name in ("iss", "exp", "scope", "sid", "ep"):
        with pytest.raises(TokenRefused):
            verify(with_claims(**{name: [value]}), JWKS, EXPECTED, now=NOW)


@pytest.mark.parametrize("now", [NOW - 30, NOW, NOW + 329])
def test_clocks_may_be_half_a_minute_apart(now: int) -> None:
    """Nodes' clocks differ: a fresh token would be refused, and a caller would be told it had expired."""
    assert verify(TOKEN, JWKS, EXPECTED, now=now) == CLAIMS


@pytest.mark.parametrize(("now", "reason"), [(NOW - 31, Refusal.NOT_YET_VALID), (NOW + 330, Refusal.EXPIRED)])
def test_and_no_further(now: int, reason: Refusal) -> None:
    """A leaked token would live longer than it says."""
    assert refusal(TOKEN, now=now) is reason


def test_token_of_an_earlier_incarnation_is_refused() -> None:
    """A recreated workspace of the same name would let the old one's sessions in."""
    renewed = replace(EXPECTED, workspace_uid="new", audience=audience("new"))
    assert refusal(TOKEN, expected=renewed) is Refusal.AUDIENCE


def test_unknown_claims_are_ignored() -> None:
    """A newer issuer could not add a claim before every gateway was replaced."""
    assert verify(with_claims(colour="blue"), JWKS, EXPECTED, now=NOW) == CLAIMS


def test_narrowing_claims_come_back_as_signed() -> None:
    """A token that may do less would do as much as any."""
    claims = replace(
        CLAIMS,
        role="auditor",
        actors=("planner", "searcher", "reader", "writer"),
        proof_key=THUMBPRINT,
        limits=TighterLimits(rpm=3, conc=1),
    )

    assert claims.wire()["act"] == chain("planner", "searcher", "reader", "writer")
    assert claims.wire()["lim"] == {"rpm": 3, "conc": 1}
    assert verify(sign(claims, KEY), JWKS, EXPECTED, now=NOW) == claims


def test_claims_that_say_nothing_are_not_on_the_wire() -> None:
    """A token for an older gateway would change for no reason, and its golden text with it."""
    assert set(CLAIMS.wire()).isdisjoint({"role", "act", "cnf", "lim"})


def test_token_signed_with_either_of_two_keys_is_accepted() -> None:
    """Keys could not be rotated without a moment in which sessions fail."""
    both = Jwks.parse(jwks_json([KEY, STRANGER]))
    assert [verify(sign(CLAIMS, key), both, EXPECTED, now=NOW) for key in (KEY, STRANGER)] == [CLAIMS, CLAIMS]


def test_later_epoch_is_accepted() -> None:
    """Between raising the epoch and rolling the gateway, every new session would be refused."""
    assert verify(with_claims(ep=4), JWKS, EXPECTED, now=NOW).epoch == 4


@pytest.mark.parametrize(
    "wrong",
    [{"ttl_seconds": 601}, {"ttl_seconds": 0}, {"subject": "a b"}, {"scopes": ()}, {"session_id": b"short"}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_no_claims_are_made_that_would_be_refused(wrong: dict[str, Any]) -> None:
    """`bulkhead token` would hand out tokens that no gateway takes."""
    given: dict[str, Any] = {
        "workspace_uid": UID,
        "tenant_id": "acme",
        "subject": "alice",
        "scopes": ("session",),
        "epoch": 0,
        "now": NOW,
        "ttl_seconds": 60,
        "session_id": bytes(16),
        "token_id": bytes(16),
    }
    with pytest.raises(ValueError, match="would be refused"):
        new_claims(**{**given, **wrong})


def test_refusal_says_nothing_of_the_token() -> None:
    """An error message with the token in it ends in somebody's log."""
    with pytest.raises(TokenRefused) as caught:
        verify(TOKEN, JWKS, EXPECTED, now=NOW + 1000)
    assert str(caught.value) == "token refused: expired"


def test_claims_are_immutable() -> None:
    """Verified claims that can be edited are not verified."""
    with pytest.raises(AttributeError):
        CLAIMS.subject = "mallory"  # type: ignore[misc]
    assert isinstance(CLAIMS, SessionClaims)
