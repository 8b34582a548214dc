"""DPoP (RFC 9449): a call made with a bound token must be signed, once, by the key that it is bound to."""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from bulkhead_wire import strict_json
from bulkhead_wire.keys import canonical_json, decode_base64url, encode_base64url
from bulkhead_wire.token import Refusal, TokenRefused

if TYPE_CHECKING:
    from bulkhead_sandbox.clock import Clock

__all__ = ["WINDOW_SECONDS", "Proofs"]

WINDOW_SECONDS: Final = 60
_MAX_PROOFS: Final = 50_000
_MAX_PROOF_BYTES: Final = 2048
_MAX_ID_CHARACTERS: Final = 128
_COORDINATE_BYTES: Final = 32
_KEY_MEMBERS: Final = {"EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}  # RFC 7638, RFC 8037


class Proofs:
    """Takes each proof once; remembers those that are still in time, and takes none if there are too many."""

    def __init__(self, clock: Clock, *, most: int = _MAX_PROOFS) -> None:
        self._clock = clock
        self._most = most
        # A proof made before we started may have been used with our predecessor, whose memory is gone.
        self._started_at = math.floor(clock())
        self._used: OrderedDict[bytes, float] = OrderedDict()  # in order of arrival, so nearly of expiry

    def check(self, proof: str, *, key: str, token: str, method: str, url: str) -> None:
        """TokenRefused unless `proof` is of the key with thumbprint `key`, for this very call, and new."""
        claims = _opened(proof, key)
        now = self._clock()
        made_at = claims.get("iat")
        proof_id = claims.get("jti")
        holds = (
            claims.get("htm") == method
            and claims.get("htu") == url
            and claims.get("ath") == _digest(token)
            and type(made_at) is int
            and max(now - WINDOW_SECONDS, self._started_at) <= made_at <= now + WINDOW_SECONDS
            and isinstance(proof_id, str)
            and 0 < len(proof_id) <= _MAX_ID_CHARACTERS
        )
        if not holds:
            raise TokenRefused(Refusal.PROOF)
        self._use(hashlib.sha256(f"{key}\0{proof_id}".encode()).digest(), now)

    def _use(self, proof: bytes, now: float) -> None:
        used = self._used
        while used and next(iter(used.values())) < now:
            used.popitem(last=False)
        if proof in used or len(used) >= self._most:
            raise TokenRefused(Refusal.PROOF)
        used[proof] = now + 2 * WINDOW_SECONDS  # one dated ahead is in time for two windows


def _opened(proof: str, key: str) -> dict[str, Any]:
    """The payload of a proof by the key with thumbprint `key`."""
    parts = proof.split(".")
    if len(proof) > _MAX_PROOF_BYTES or len(parts) != 3:
        raise TokenRefused(Refusal.PROOF)
    try:
        header, payload = (strict_json.loads(decode_base64url(part), max_depth=4) for part in parts[:2])
        signature = decode_base64url(parts[2])
        if not isinstance(header, dict) or not isinstance(payload, dict):
            raise TokenRefused(Refusal.PROOF)
        if set(header) != {"typ", "alg", "jwk"} or header["typ"] != "dpop+jwt":
            raise TokenRefused(Refusal.PROOF)
        jwk = header["jwk"]
        if not isinstance(jwk, dict) or _thumbprint(jwk) != key:
            raise TokenRefused(Refusal.PROOF)
        _verify(header["alg"], jwk, signature, ".".join(parts[:2]).encode("ascii"))
    except (ValueError, TypeError, KeyError, InvalidSignature) as error:
        raise TokenRefused(Refusal.PROOF) from error
    return payload


def _verify(algorithm: Any, jwk: dict[str, Any], signature: bytes, message: bytes) -> None:
    """Raises InvalidSignature, ValueError or KeyError unless the key signed the message."""
    if algorithm == "EdDSA" and jwk["crv"] == "Ed25519":
        Ed25519PublicKey.from_public_bytes(decode_base64url(jwk["x"])).verify(signature, message)
    elif algorithm == "ES256" and jwk["crv"] == "P-256":
        x, y = decode_base64url(jwk["x"]), decode_base64url(jwk["y"])
        if len(x) != _COORDINATE_BYTES or len(y) != _COORDINATE_BYTES or len(signature) != 64:
            raise ValueError("not of P-256")
        numbers = ec.EllipticCurvePublicNumbers(
            int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()
        )
        der = encode_dss_signature(
            int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        )
        numbers.public_key().verify(der, message, ec.ECDSA(SHA256()))
    else:
        raise ValueError("not an algorithm that we know")


def _thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638, of a public key and nothing else."""
    members = _KEY_MEMBERS[jwk["kty"]]
    if "d" in jwk:
        raise ValueError("a private key")
    required = {name: jwk[name] for name in members}
    return _digest(canonical_json(required))


def _digest(text: str) -> str:
    return encode_base64url(hashlib.sha256(text.encode("ascii")).digest())
