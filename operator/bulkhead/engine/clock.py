"""The only module that reads clocks: wall clock for deadlines, monotonic for waits."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock"]


class Clock(Protocol):
    """What the engine asks instead of the operating system."""

    def now(self) -> datetime:
        """Wall clock, aware UTC; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow; the zero means nothing."""
        ...


class SystemClock:
    """The real clocks. Monotonic time is the event loop's, so that a test's loop can bend it."""

    def now(self) -> datetime:
        """Wall clock, aware UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """The running loop's seconds."""
        return asyncio.get_running_loop().time()
