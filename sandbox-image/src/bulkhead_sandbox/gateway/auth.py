"""Who calls: a session token, checked against public keys that may change at any time."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bulkhead_wire.keys import InvalidKey, Jwks
from bulkhead_wire.token import SKEW_SECONDS, Expected, Refusal, SessionClaims, TokenRefused, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.config import GatewayConfig
    from bulkhead_sandbox.logs import Log

__all__ = ["KeyRing", "Sessions", "bearer_token"]

_CHECK_SECONDS: Final = 1.0
_CACHED_TOKENS: Final = 2048
_CACHED_SECONDS: Final = 60.0

_Stamp = tuple[int, int, int]


class KeyRing:
    """The keys in a mounted file, read anew when the file changes; an unreadable file trusts nobody."""

    def __init__(self, path: str, clock: Clock, log: Log) -> None:
        self._path = Path(path)
        self._clock = clock
        self._log = log
        self._stamp: _Stamp | None = None
        self._text: bytes | None = None
        self._jwks: Jwks | None = None
        self._checked_at = float("-inf")

    def current(self) -> Jwks | None:
        """The keys as of at most a second ago; None: there are none to trust.

        kubelet swaps the `..data` link that the path goes through, so a change shows as another inode.
        """
        now = self._clock()
        if not 0 <= now - self._checked_at < _CHECK_SECONDS:  # also when the clock was set back
            self._checked_at = now
            self._refresh()
        return self._jwks

    def _refresh(self) -> None:
        stamp = self._stat()
        if stamp is not None and stamp == self._stamp:
            return
        self._stamp = stamp
        text = self._read() if stamp is not None else None
        if text == self._text and text is not None:
            return
        self._text = text
        self._jwks = self._parse(text)

    def _stat(self) -> _Stamp | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - the plain call on a hot path
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None

    def _parse(self, text: bytes | None) -> Jwks | None:
        if text is None:
            self._log.error("keys.unreadable")
            return None
        try:
            jwks = Jwks.parse(text)
        except InvalidKey as error:
            self._log.error("keys.invalid", problem=str(error))
            return None
        self._log.info("keys.loaded")
        return jwks


class Sessions:
    """Verifies tokens; a verified one is remembered by its hash, for at most a minute and while keys stay."""

    def __init__(self, config: GatewayConfig, keys: KeyRing, clock: Clock) -> None:
        self._expected = Expected(
            issuer=config.issuer,
            audience=config.audience,
            workspace_uid=config.workspace_uid,
            epoch=config.session_epoch,
        )
        self._keys = keys
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[SessionClaims, float]] = OrderedDict()
        self._verified_with: Jwks | None = None

    def verified(self, token: str) -> SessionClaims:
        """The claims of a token in force now; TokenRefused otherwise."""
        jwks = self._keys.current()
        if jwks is None:
            raise TokenRefused(Refusal.UNKNOWN_KEY)
        if jwks is not self._verified_with:
            self._verified.clear()
            self._verified_with = jwks
        now = self._clock()
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is not None and known[0].not_before - SKEW_SECONDS <= now < known[1]:
            return known[0]
        self._verified.pop(digest, None)
        claims = verify(token, jwks, self._expected, now=now)
        self._verified[digest] = (claims, min(now + _CACHED_SECONDS, claims.expires_at))
        if len(self._verified) > _CACHED_TOKENS:
            self._verified.popitem(last=False)
        return claims


def bearer_token(authorization: Sequence[str]) -> str:
    """The token of the one `Authorization: Bearer` header; TokenRefused for none, two or another scheme."""
    if len(authorization) != 1:
        raise TokenRefused(Refusal.MALFORMED)
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer" or not token.isascii():
        raise TokenRefused(Refusal.MALFORMED)
    return token
