"""What a gateway must remember, in as few words as a shared store can also speak.

One replica keeps it in memory and in a file of its own. Several replicas need one store for all of them.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["DailyCounters", "Epoch", "SeenTokens", "StateFailed"]


class StateFailed(Exception):
    """What was asked cannot be remembered or recalled; whoever asked must refuse."""


class DailyCounters(Protocol):
    """Amounts by day and key. `day`: 2026-01-31, in UTC."""

    def add(self, day: str, key: str, amount: int) -> None:
        """Count `amount`, which may be negative; survives a restart after at most a second."""

    def get(self, day: str, key: str) -> int:
        """What was counted; 0 for nothing, and for days long past."""


class SeenTokens(Protocol):
    """Which session tokens were used, so that one id cannot stand for two."""

    def first_use(self, token_id: str, digest: bytes, expires_at: int) -> bool:
        """False: this id was used with another digest. True as often as it is the same."""


class Epoch(Protocol):
    """The oldest generation of sessions that is still served."""

    def epoch(self) -> int:
        """The highest that was ever set; 0 at first."""

    async def raise_epoch(self, epoch: int) -> None:
        """Never lower, in force at once, and durable when this returns."""
