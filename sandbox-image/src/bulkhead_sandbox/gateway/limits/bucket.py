"""A token bucket that may go into debt: arithmetic only, the time is handed in."""

from __future__ import annotations

from typing import Final

__all__ = ["Bucket"]

_MINUTE_SECONDS: Final = 60.0
_ROUNDING: Final = 1e-6


class Bucket:
    """Holds at most a minute's worth and refills evenly; below zero it is refused until it is repaid."""

    __slots__ = ("_at", "_level", "capacity")

    def __init__(self, per_minute: int, now: float) -> None:
        self.capacity = per_minute
        self._level = float(per_minute)
        self._at = now

    def level(self, now: float) -> float:
        """What is left; negative: debt."""
        elapsed = now - self._at
        if elapsed > 0:
            self._level = min(self.capacity, self._level + elapsed * self.capacity / _MINUTE_SECONDS)
            self._at = now
        return self._level

    def is_full(self, now: float) -> bool:
        """Whether nothing is outstanding."""
        return self.level(now) >= self.capacity - _ROUNDING

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, beyond zero if it must be; a negative amount gives back."""
        self._level = min(self.capacity, self.level(now) - amount)

    def seconds_until(self, amount: float, now: float) -> float:
        """Until `amount` is there, or all that the bucket can hold."""
        missing = min(amount, self.capacity) - self.level(now)
        return max(0.0, missing * _MINUTE_SECONDS / self.capacity)
