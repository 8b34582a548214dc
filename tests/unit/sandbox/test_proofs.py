"""Proof of possession (RFC 9449): a stolen token is nothing without the key that it is bound to."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from bulkhead_sandbox.gateway.sessions import Proofs
from bulkhead_wire.keys import SigningKey, canonical_json, encode_base64url
from bulkhead_wire.token import Refusal, TokenRefused

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import FakeClock, World

CLIENT = SigningKey.from_seed(b"\x21" * 32)
EC_CLIENT = ec.derive_private_key(0x1234567, ec.SECP256R1())
PUBLIC = {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(CLIENT.public.public_bytes)}
URL = "https://gateway.example/v1/session"
TOKEN = "a.token.text"


def ec_public() -> dict[str, str]:
    numbers = EC_CLIENT.public_key().public_numbers()
    x, y = (encode_base64url(number.to_bytes(32, "big")) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def thumbprint(jwk: dict[str, str]) -> str:
    return encode_base64url(hashlib.sha256(canonical_json(jwk).encode()).digest())


def ec_signature(message: bytes) -> bytes:
    r, s = decode_dss_signature(EC_CLIENT.sign(message, ec.ECDSA(SHA256())))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def proof(
    *,
    header: dict[str, Any] | None = None,
    sign: Callable[[bytes], bytes] = CLIENT.sign,
    now: float = 1_800_000_000,
    **claims: Any,
) -> str:
    """A good proof for a GET of URL with TOKEN, but for what is given; None leaves a claim out."""
    payload = {
        "jti": "one",
        "htm": "GET",
        "htu": URL,
        "iat": int(now),
        "ath": encode_base64url(hashlib.sha256(TOKEN.encode()).digest()),
        **claims,
    }
    head = {"typ": "dpop+jwt", "alg": "EdDSA", "jwk": PUBLIC, **(header or {})}
    kept = {name: value for name, value in payload.items() if value is not None}
    text = ".".join(encode_base64url(json.dumps(part).encode()) for part in (head, kept))
    return f"{text}.{encode_base64url(sign(text.encode()))}"


def check(proofs: Proofs, text: str, key: str = thumbprint(PUBLIC)) -> None:
    proofs.check(text, key=key, token=TOKEN, method="GET", url=URL)


def test_proof_of_the_bound_key_is_taken(clock: FakeClock) -> None:
    """Nobody with a bound token could come in."""
    check(Proofs(clock), proof())


def test_ecdsa_proof_is_taken(clock: FakeClock) -> None:
    """Browsers and phones keep P-256 keys where they cannot be copied from."""
    text = proof(header={"alg": "ES256", "jwk": ec_public()}, sign=ec_signature)
    check(Proofs(clock), text, thumbprint(ec_public()))


WRONG: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "two parts": lambda: ".".join(proof().split(".")[:2]),
    "longer than 2 KiB": lambda: proof(x="x" * 2000),
    "another's signature": lambda: proof(sign=SigningKey.from_seed(b"\x22" * 32).sign),
    "another's key": lambda: proof(
        header={"jwk": {**PUBLIC, "x": encode_base64url(b"\x01" * 32)}},
    ),
    "a private key in it": lambda: proof(header={"jwk": {**PUBLIC, "d": "x"}}),
    "no key": lambda: proof(header={"jwk": None}),
    "a symmetric key": lambda: proof(header={"jwk": {"kty": "oct", "k": "x"}}),
    "alg none": lambda: proof(header={"alg": "none"}),
    "alg of another key": lambda: proof(header={"alg": "ES256"}),
    "typ JWT": lambda: proof(header={"typ": "JWT"}),
    "crit": lambda: proof(header={"crit": ["x"]}),
    "another method": lambda: proof(htm="POST"),
    "another path": lambda: proof(htu=URL + "s"),
    "another host": lambda: proof(htu="https://evil.example/v1/session"),
    "another token": lambda: proof(ath=encode_base64url(bytes(32))),
    "no token": lambda: proof(ath=None),
    "no id": lambda: proof(jti=None),
    "id of 129": lambda: proof(jti="x" * 129),
    "too old": lambda: proof(iat=1_799_999_939),
    "too far ahead": lambda: proof(iat=1_800_000_061),
    "time a text": lambda: proof(iat="1800000000"),
    "time true": lambda: proof(iat=True),
    "no time": lambda: proof(iat=None),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG.keys())
def test_each_rule_refuses_on_its_own(clock: FakeClock, make: Callable[[], str]) -> None:
    """A rule that no proof breaks alone may be gone without anybody noticing."""
    clock.now -= 600
    proofs = Proofs(clock)
    clock.now += 600
    with pytest.raises(TokenRefused) as caught:
        check(proofs, make())
    assert caught.value.reason is Refusal.PROOF
    check(proofs, proof())


def test_proof_is_taken_once(clock: FakeClock) -> None:
    """Whoever records a request could send it again."""
    proofs = Proofs(clock)
    check(proofs, proof())
    with pytest.raises(TokenRefused):
        check(proofs, proof())
    check(proofs, proof(jti="two"))


def test_full_memory_refuses_and_empties_itself(clock: FakeClock) -> None:
    """Forgetting the oldest would let whoever can flood replay it."""
    proofs = Proofs(clock, most=2)
    for name in ("a", "b"):
        check(proofs, proof(jti=name))
    with pytest.raises(TokenRefused):
        check(proofs, proof(jti="c"))
    clock.now += 121
    check(proofs, proof(jti="c", now=clock()))


def test_proof_made_before_the_start_is_refused(clock: FakeClock) -> None:
    """A restart forgets which proofs were used: each could be used once more."""
    before = proof(now=clock() - 1)
    with pytest.raises(TokenRefused):
        check(Proofs(clock), before)


async def test_bound_token_needs_a_proof_on_every_call(world: World) -> None:
    """The whole way: a header more, and the scheme DPoP."""
    token = world.token("session", proof_key=thumbprint(PUBLIC))
    url = f"{world.url}/v1/session"

    async def asked(scheme: str, *proofs: str) -> int:
        headers = [("Authorization", f"{scheme} {token}"), *(("DPoP", text) for text in proofs)]
        async with world.http.get(url, headers=headers) as response:
            return response.status

    def made(name: str) -> str:
        ath = encode_base64url(hashlib.sha256(token.encode()).digest())
        return proof(jti=name, htu=url, ath=ath)

    assert await asked("DPoP", made("1")) == 200
    assert await asked("DPoP", made("1")) == 401, "the same proof again"
    assert await asked("DPoP", made("2")) == 200
    assert await asked("Bearer", made("3")) == 401, "as if it were unbound"
    assert await asked("Bearer") == 401
    assert await asked("DPoP") == 401
    assert await asked("DPoP", made("4"), made("5")) == 401, "two proofs"


async def test_unbound_token_is_no_bound_one(world: World) -> None:
    """A client would believe that its token is bound."""
    headers = {"Authorization": f"DPoP {world.token('session')}"}
    assert (await world.ask("GET", "/v1/session", headers=headers)).status == 401
