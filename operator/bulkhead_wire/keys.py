"""Ed25519 keys of one workspace's session tokens, and their public set (JWKS, RFC 7517 and RFC 8037)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bulkhead_wire import strict_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = [
    "InvalidKey",
    "Jwks",
    "SigningKey",
    "VerifyKey",
    "canonical_json",
    "decode_base64url",
    "encode_base64url",
    "generate_key",
    "jwks_json",
]

MAX_KEYS: Final = 2  # the current key, and the one before or after it while keys rotate
_KEY_BYTES: Final = 32
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class InvalidKey(ValueError):
    """A key or key set that cannot be used; the message never quotes key material."""


def encode_base64url(data: bytes) -> str:
    """RFC 7515 base64url: no padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """The bytes whose only encoding is `text`; ValueError for padding, foreign characters, stray bits."""
    if not _BASE64URL.fullmatch(text):
        raise ValueError("not base64url")
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error
    if encode_base64url(data) != text:
        raise ValueError("not canonical base64url")
    return data


def canonical_json(value: Mapping[str, Any]) -> str:
    """One text for one value: sorted keys, no spaces, ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A public key; its id is the RFC 7638 thumbprint, so an id can never name another key."""

    public_bytes: bytes
    kid: str = field(init=False)

    def __post_init__(self) -> None:
        if len(self.public_bytes) != _KEY_BYTES:
            raise InvalidKey(f"an Ed25519 public key has {_KEY_BYTES} bytes")
        digest = hashlib.sha256(canonical_json(self._required_members()).encode("ascii")).digest()
        object.__setattr__(self, "kid", encode_base64url(digest))

    def _required_members(self) -> dict[str, str]:
        """What RFC 7638 and RFC 8037 hash for a thumbprint."""
        return {"crv": "Ed25519", "kty": "OKP", "x": encode_base64url(self.public_bytes)}

    def jwk(self) -> dict[str, str]:
        """The key as a JWK."""
        return {**self._required_members(), "alg": "EdDSA", "kid": self.kid, "use": "sig"}

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the holder of the private key signed `message`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_bytes).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key; its repr shows the public half only."""

    _private: Ed25519PrivateKey = field(repr=False)
    public: VerifyKey = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "public", VerifyKey(self._private.public_key().public_bytes_raw()))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """The key of a 32-byte seed (RFC 8032): the pure way to make one."""
        if len(seed) != _KEY_BYTES:
            raise InvalidKey(f"an Ed25519 seed has {_KEY_BYTES} bytes")
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def from_pem(cls, pem: bytes | str) -> Self:
        """The key in an unencrypted PKCS #8 PEM; InvalidKey for anything else."""
        data = pem.encode("ascii", "replace") if isinstance(pem, str) else pem
        try:
            key = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError) as error:
            raise InvalidKey("not an unencrypted PKCS #8 private key in PEM") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise InvalidKey("not an Ed25519 private key")
        return cls(key)

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint of the public key."""
        return self.public.kid

    def pem(self) -> str:
        """The private key as unencrypted PKCS #8 PEM: for the Secret `private.pem` and nowhere else."""
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode("ascii")

    def jwk(self) -> dict[str, str]:
        """The public half as a JWK."""
        return self.public.jwk()

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature; the same for the same message."""
        return self._private.sign(message)


def generate_key() -> SigningKey:
    """A new key from the operating system's randomness: the one function here that is not pure."""
    return SigningKey(Ed25519PrivateKey.generate())


def jwks_json(keys: Iterable[SigningKey | VerifyKey]) -> str:
    """The public key set as canonical JSON: equal sets give equal text, whatever their order."""
    public = {key.kid: key.jwk() for key in keys}
    if not 1 <= len(public) <= MAX_KEYS:
        raise InvalidKey(f"a key set holds 1 to {MAX_KEYS} keys, not {len(public)}")
    return canonical_json({"keys": [public[kid] for kid in sorted(public)]})


@dataclass(frozen=True, slots=True)
class Jwks:
    """A parsed key set, by key id."""

    keys: Mapping[str, VerifyKey]

    @classmethod
    def parse(cls, text: str | bytes) -> Self:
        """The set in a JWKS document; InvalidKey if a key is not exactly a public key as we write it."""
        data = text.encode("utf-8") if isinstance(text, str) else text
        try:
            document = strict_json.loads(data, max_depth=4)
        except strict_json.StrictJsonError as error:
            raise InvalidKey("the key set is not JSON") from error
        members = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(members, list) or not 1 <= len(members) <= MAX_KEYS:
            raise InvalidKey(f"a key set holds 1 to {MAX_KEYS} keys")
        return cls({key.kid: key for key in map(_parse_jwk, members)})


def _parse_jwk(jwk: Any) -> VerifyKey:
    """The key whose `jwk()` is exactly `jwk`."""
    x = jwk.get("x") if isinstance(jwk, dict) else None
    if not isinstance(x, str):
        raise InvalidKey("a key has no member x")
    try:
        key = VerifyKey(decode_base64url(x))
    except ValueError as error:
        raise InvalidKey("member x is not an Ed25519 public key") from error
    if jwk != key.jwk():
        raise InvalidKey("a key is not a public Ed25519 signature key named by its thumbprint")
    return key
