"""Time that never goes back, so that what has expired stays expired."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkhead_sandbox.clock import Clock

__all__ = ["SteadyClock"]


class SteadyClock:
    """Seconds since 1970: the wall clock, and at least as much as has passed since it was last asked.

    A clock that is set back could otherwise bring the expired back and keep the rest for ever.
    """

    def __init__(self, wall: Clock, monotonic: Clock) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._at = wall()
        self._asked_at = monotonic()

    def __call__(self) -> float:
        """Now."""
        asked_at = self._monotonic()
        self._at = max(self._wall(), self._at + asked_at - self._asked_at)
        self._asked_at = asked_at
        return self._at

    def not_before(self, moment: float) -> None:
        """From now on it is at least `moment`, which somebody has written down as passed."""
        self._at = max(self(), moment)
