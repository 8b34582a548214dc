"""Verified sessions: the token, its replay, its proof; whatever is wrong, one exception."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from bulkhead_sandbox.gateway.sessions.delegation import TYPE as DELEGATED
from bulkhead_wire import jws
from bulkhead_wire.token import SKEW_SECONDS, Expected, Refusal, SessionClaims, TokenRefused, verify

if TYPE_CHECKING:
    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.config import GatewayConfig
    from bulkhead_sandbox.gateway.sessions.credentials import Presented
    from bulkhead_sandbox.gateway.sessions.delegation import Delegation
    from bulkhead_sandbox.gateway.sessions.proofs import Proofs
    from bulkhead_sandbox.gateway.sessions.trust import EpochFile, KeyRing
    from bulkhead_sandbox.gateway.state.seams import Epoch, SeenTokens
    from bulkhead_wire.keys import Jwks

__all__ = ["Sessions"]

_CACHED_TOKENS: Final = 2048
_CACHED_SECONDS: Final = 60.0


class Sessions:
    """Verifies tokens; one is remembered by its hash for at most a minute, while keys and epoch stay."""

    def __init__(
        self,
        config: GatewayConfig,
        *,
        keys: KeyRing,
        epoch_file: EpochFile,
        pushed: Epoch,
        seen: SeenTokens,
        delegation: Delegation,
        proofs: Proofs,
        clock: Clock,
    ) -> None:
        self._config = config
        self._keys = keys
        self._epoch_file = epoch_file
        self._pushed = pushed
        self._seen = seen
        self._delegation = delegation
        self._proofs = proofs
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[SessionClaims, float]] = OrderedDict()
        self._verified_by: tuple[Jwks, Expected] | None = None

    @property
    def ready(self) -> bool:
        """Whether there are keys and an epoch to verify by."""
        return self._keys.current() is not None and self._epoch_file.current() is not None

    @property
    def epoch(self) -> int:
        """The epoch in force: what derives from it changes when sessions are revoked."""
        return max(self._epoch_file.current() or 0, self._pushed.epoch())

    def verified(self, presented: Presented) -> tuple[SessionClaims, str]:
        """The claims of a request's token in force now, and the token; TokenRefused otherwise."""
        scheme, token = presented.credential()
        claims = self.claims(token)
        if claims.proof_key is None:
            if scheme != "bearer":
                raise TokenRefused(Refusal.PROOF)
            return claims, token
        if scheme != "dpop" or len(presented.proofs) != 1:
            raise TokenRefused(Refusal.PROOF)
        self._proofs.check(
            presented.proofs[0],
            key=claims.proof_key,
            token=token,
            method=presented.method,
            url=presented.url,
        )
        return claims, token

    def claims(self, token: str) -> SessionClaims:
        """What a token in force says, whoever sent it; TokenRefused otherwise."""
        jwks, expected = self._trust()
        now = self._clock()
        digest = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(digest)
        if known is not None and known[0].not_before - SKEW_SECONDS <= now < known[1]:
            return known[0]
        self._verified.pop(digest, None)
        if jws.type_of(token) == DELEGATED:
            claims = self._delegation.verified(token, jwks, expected, now)
        else:
            claims = verify(token, jwks, expected, now=now)
        if not self._seen.first_use(claims.token_id, digest, claims.expires_at + SKEW_SECONDS):
            raise TokenRefused(Refusal.REPLAY)
        self._verified[digest] = (claims, min(now + _CACHED_SECONDS, claims.expires_at))
        if len(self._verified) > _CACHED_TOKENS:
            self._verified.popitem(last=False)
        return claims

    def _trust(self) -> tuple[Jwks, Expected]:
        """What to verify by; what was verified by anything else is forgotten."""
        jwks, mounted = self._keys.current(), self._epoch_file.current()
        if jwks is None or mounted is None:
            raise TokenRefused(Refusal.UNKNOWN_KEY)
        epoch = max(mounted, self._pushed.epoch())
        by = self._verified_by
        if by is None or by[0] is not jwks or by[1].epoch != epoch:
            self._verified.clear()
            by = self._verified_by = (
                jwks,
                Expected(
                    issuer=self._config.issuer,
                    audience=self._config.audience,
                    workspace_uid=self._config.workspace_uid,
                    epoch=epoch,
                ),
            )
        return by
