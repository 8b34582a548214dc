"""The one module here that reads a clock; everything else is handed one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

__all__ = ["Clock", "monotonic_seconds", "rfc3339", "wall_seconds"]

Clock = Callable[[], float]


def wall_seconds() -> float:
    """Seconds since 1970."""
    return time.time()


def monotonic_seconds() -> float:
    """Seconds that never go back, from no particular moment."""
    return time.monotonic()


def rfc3339(seconds: float) -> str:
    """`seconds` since 1970 as 2026-01-31T12:00:00.000Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
