from __future__ import annotations

import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from bulkhead_wire.keys import InvalidKey, Jwks, SigningKey, decode_base64url, generate_key, jwks_json

# RFC 8037, appendix A: a seed, its public key and its thumbprint.
RFC_SEED = decode_base64url("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
RFC_X = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
RFC_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
KEY = SigningKey.from_seed(RFC_SEED)


def test_key_id_is_the_thumbprint_of_the_standard() -> None:
    """Others could not compute it, and a home-made id could collide."""
    assert KEY.kid == RFC_THUMBPRINT
    assert KEY.jwk()["x"] == RFC_X


def test_pem_and_back_is_the_same_key() -> None:
    """The key in the Secret would sign with another identity after a restart."""
    again = SigningKey.from_pem(KEY.pem())
    assert again.kid == KEY.kid
    assert again.sign(b"x") == KEY.sign(b"x")


def test_two_generated_keys_differ() -> None:
    """Two tenants with one key could sign for each other."""
    assert generate_key().kid != generate_key().kid


def test_key_set_is_the_same_text_in_any_order() -> None:
    """A set that changes its text with each reconcile would roll the gateway for nothing."""
    other = SigningKey.from_seed(b"\x07" * 32)
    assert jwks_json([KEY, other, KEY]) == jwks_json([other.public, KEY])


def test_key_set_is_read_by_another_implementation() -> None:
    """Only our own gateway could check tokens."""
    assert [key.key_id for key in jwt.PyJWKSet.from_json(jwks_json([KEY])).keys] == [KEY.kid]


def test_repr_shows_no_private_part() -> None:
    """A key in a traceback would be in the log."""
    assert KEY.pem().split("\n")[1] not in repr(KEY)
    assert "private" not in repr(KEY).lower()


def _rsa_pem() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.mark.parametrize("pem", ["", "nonsense", "é", _rsa_pem()], ids=["empty", "text", "umlaut", "rsa"])
def test_what_is_no_ed25519_key_is_refused(pem: str) -> None:
    """A damaged Secret must end in a clear condition, not in a crash or a weaker algorithm."""
    with pytest.raises(InvalidKey):
        SigningKey.from_pem(pem)


_JWK = KEY.jwk()
WRONG_SETS: dict[str, object] = {
    "no object": [],
    "no keys": {},
    "empty": {"keys": []},
    "three keys": {"keys": [SigningKey.from_seed(bytes([i]) * 32).jwk() for i in range(3)]},
    "key no object": {"keys": [7]},
    "private part": {"keys": [{**_JWK, "d": "x"}]},
    "kid of another": {"keys": [{**_JWK, "kid": "x"}]},
    "symmetric": {"keys": [{"kty": "oct", "k": "x", "kid": "x"}]},
    "short x": {"keys": [{**_JWK, "x": "AAAA"}]},
    "x no base64": {"keys": [{**_JWK, "x": "!"}]},
    "x a number": {"keys": [{**_JWK, "x": 7}]},
}


@pytest.mark.parametrize("document", WRONG_SETS.values(), ids=WRONG_SETS.keys())
def test_key_set_that_is_not_exactly_public_keys_is_refused(document: object) -> None:
    """A gateway would trust a key that nobody meant to publish, or hold a private one."""
    with pytest.raises(InvalidKey):
        Jwks.parse(json.dumps(document))


def test_key_set_that_is_no_json_is_refused() -> None:
    """As above, for a half-written file."""
    with pytest.raises(InvalidKey):
        Jwks.parse('{"keys": [')


def test_too_many_keys_are_not_written() -> None:
    """A set that no gateway reads would lock everyone out."""
    with pytest.raises(InvalidKey):
        jwks_json(SigningKey.from_seed(bytes([i]) * 32) for i in range(3))
