"""Tokens that a gateway makes out of a session's: never worth more, and worth nothing without it.

Each carries, sealed, the issuer's token that it descends from, and holds only as long as that one does. So
the gateway's key alone makes no token that anybody accepts, and what the issuer revokes is revoked all the
way down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bulkhead_wire import jws
from bulkhead_wire.keys import Jwks, SigningKey, decode_base64url, encode_base64url
from bulkhead_wire.token import (
    MAX_ACTORS,
    MAX_TOKEN_BYTES,
    Expected,
    Refusal,
    SessionClaims,
    TighterLimits,
    TokenRefused,
    check,
    from_wire,
    verify,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CannotDelegate", "Delegation", "Wanted"]

TYPE: Final = "bh-delegated+jwt"
_NONCE_BYTES: Final = 12
_ID_BYTES: Final = 16


class CannotDelegate(Exception):
    """What is wanted is more than the presented token has; `field` names it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A narrower token for somebody who acts for the subject."""

    actor: str
    scopes: tuple[str, ...]
    ttl_seconds: int
    proof_key: str | None = None
    limits: TighterLimits | None = None


class Delegation:
    """Makes and verifies delegated tokens of one workspace."""

    def __init__(self, seed: bytes, audience: str, random_bytes: Callable[[int], bytes]) -> None:
        """`seed`: of the signing key that all gateways of the workspace have, and no others."""
        self._key = SigningKey.from_seed(seed)
        self._jwks = Jwks({self._key.kid: self._key.public})
        self._audience = audience
        self._random_bytes = random_bytes
        derived = HKDF(SHA256(), 32, salt=None, info=b"bulkhead delegated token v1").derive(seed)
        self._cipher = AESGCM(derived)

    def make(
        self, token: str, claims: SessionClaims, wanted: Wanted, now: float
    ) -> tuple[str, SessionClaims]:
        """A token out of `token`, which says `claims`; CannotDelegate if it were worth more."""
        issued_at = int(now)
        _refuse_more(claims, wanted, issued_at)
        made = replace(
            claims,
            issuer=self._audience,
            token_id=encode_base64url(self._random_bytes(_ID_BYTES)),
            issued_at=issued_at,
            not_before=issued_at,
            expires_at=min(issued_at + wanted.ttl_seconds, claims.expires_at),
            scopes=wanted.scopes,
            actors=(wanted.actor, *claims.actors),
            proof_key=wanted.proof_key or claims.proof_key,
            limits=_tighter(claims.limits, wanted.limits),
        )
        root = self._root(token) if jws.type_of(token) == TYPE else token
        payload = {**made.wire(), "par": self._sealed(root, made.token_id)}
        try:
            from_wire(payload)
        except TokenRefused as error:  # a name or scope that no token may hold
            raise CannotDelegate("(top)", "holds what no token may hold") from error
        delegated = jws.signed(TYPE, payload, self._key)
        if len(delegated) > MAX_TOKEN_BYTES:
            raise CannotDelegate("scopes", f"make a token longer than {MAX_TOKEN_BYTES} bytes")
        return delegated, made

    def verified(self, token: str, jwks: Jwks, expected: Expected, now: float) -> SessionClaims:
        """The claims of a delegated token; TokenRefused unless it and what it descends from are in force."""
        payload = jws.opened(token, TYPE, self._jwks)
        claims = from_wire(payload)
        check(claims, replace(expected, issuer=self._audience), now)
        root = verify(self._opened(jws.text(payload, "par"), claims.token_id), jwks, expected, now=now)
        if not _descends(claims, root):
            raise TokenRefused(Refusal.DELEGATION)
        return claims

    def _root(self, token: str) -> str:
        payload = jws.opened(token, TYPE, self._jwks)
        return self._opened(jws.text(payload, "par"), jws.text(payload, "jti"))

    def _sealed(self, root: str, token_id: str) -> str:
        """The root, unreadable to whoever holds the delegated token: it could be used as it is."""
        nonce = self._random_bytes(_NONCE_BYTES)
        return encode_base64url(nonce + self._cipher.encrypt(nonce, root.encode(), token_id.encode()))

    def _opened(self, sealed: str, token_id: str) -> str:
        try:
            data = decode_base64url(sealed)
            nonce, box = data[:_NONCE_BYTES], data[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, box, token_id.encode()).decode("ascii")
        except (ValueError, InvalidTag) as error:
            raise TokenRefused(Refusal.DELEGATION) from error


def _refuse_more(claims: SessionClaims, wanted: Wanted, issued_at: int) -> None:
    """CannotDelegate, naming the field by which `wanted` is more than `claims`."""
    if not set(wanted.scopes) <= set(claims.scopes):
        raise CannotDelegate("scopes", "must be among those of the token that is presented")
    if claims.expires_at <= issued_at:  # within the skew that a verifier allows
        raise CannotDelegate("ttl_seconds", "would end before it begins")
    if len(claims.actors) >= MAX_ACTORS:
        raise CannotDelegate("actor", f"would be the fifth; a token names at most {MAX_ACTORS}")


def _descends(claims: SessionClaims, root: SessionClaims) -> bool:
    """Whether `claims` is nothing but less of `root`, by somebody named."""
    return (
        (claims.subject, claims.session_id, claims.tenant_id, claims.role, claims.epoch)
        == (root.subject, root.session_id, root.tenant_id, root.role, root.epoch)
        and set(claims.scopes) <= set(root.scopes)
        and claims.expires_at <= root.expires_at
        and len(claims.actors) > len(root.actors)
        and claims.actors[len(claims.actors) - len(root.actors) :] == root.actors
        and (root.proof_key is None or claims.proof_key is not None)
        and _tighter(root.limits, claims.limits) == claims.limits
    )


def _tighter(one: TighterLimits | None, other: TighterLimits | None) -> TighterLimits | None:
    """Both at once."""
    if one is None or other is None:
        return one or other

    def least(a: int | None, b: int | None) -> int | None:
        return min((value for value in (a, b) if value is not None), default=None)

    return TighterLimits(
        rpm=least(one.rpm, other.rpm),
        tpm=least(one.tpm, other.tpm),
        tpd=least(one.tpd, other.tpd),
        conc=least(one.conc, other.conc),
    )
