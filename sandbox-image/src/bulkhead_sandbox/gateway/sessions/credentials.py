"""What a request says of who sent it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkhead_wire.token import Refusal, TokenRefused

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Presented"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Presented:
    """The headers and the line of one request, as far as they show who sent it."""

    authorization: Sequence[str]
    proofs: Sequence[str]  # each `DPoP` header
    method: str
    url: str  # without query

    def credential(self) -> tuple[str, str]:
        """Scheme (bearer or dpop) and token of the one `Authorization`; TokenRefused for none or two."""
        if len(self.authorization) != 1:
            raise TokenRefused(Refusal.MALFORMED)
        scheme, _, token = self.authorization[0].partition(" ")
        scheme = scheme.lower()
        if scheme not in ("bearer", "dpop") or not token.isascii():
            raise TokenRefused(Refusal.MALFORMED)
        return scheme, token
