"""A clock that tests can set, tied to the event loop's (usually faked) time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

__all__ = ["START", "LoopClock"]

START = datetime(2026, 12, 1, 12, 0, 0, tzinfo=UTC)


class LoopClock:
    """Wall clock = START + loop time + whatever it was made to jump."""

    def __init__(self, start: datetime = START) -> None:
        self.start = start
        self.jumped = timedelta()

    def now(self) -> datetime:
        """Aware UTC."""
        return self.start + timedelta(seconds=self.monotonic()) + self.jumped

    def monotonic(self) -> float:
        """The loop's time; 0 outside of a loop."""
        return asyncio.get_running_loop().time()

    def jump(self, **parts: float) -> None:
        """Somebody set the clock."""
        self.jumped += timedelta(**parts)
