"""When each workspace must be looked at because of the wall clock: expiry, warning, idleness, provisioning.

Deadlines are wall-clock times. Sleeps are monotonic and capped, so a jump of the clock is noticed within the
cap; whoever is woken decides anew, so waking early or twice is harmless. Many deadlines at one moment are
spread.
"""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bulkhead.engine.clock import Clock

__all__ = ["Deadlines", "TokenBucket"]

_LONGEST_SLEEP_SECONDS: Final = 30.0


@dataclass(slots=True)
class TokenBucket:
    """At most `burst` at once and `per_second` in the long run."""

    per_second: float
    burst: float
    clock: Clock
    _tokens: float = 0.0
    _filled_at: float | None = None

    async def take(self) -> None:
        """Return when it is this caller's turn."""
        while (wait := self._wait_seconds()) > 0:  # noqa: ASYNC110 - what we wait for is time itself
            await asyncio.sleep(wait)
        self._tokens -= 1

    def _wait_seconds(self) -> float:
        now = self.clock.monotonic()
        if self._filled_at is None:
            self._tokens = self.burst
        else:
            self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self.per_second)
        self._filled_at = now
        # Rounding may leave a token a hair short; that hair must not become another sleep of nothing.
        return 0.0 if self._tokens >= 1 - 1e-9 else (1 - self._tokens) / self.per_second


class Deadlines:
    """One deadline a key; `run` calls `wake(key)` at each."""

    def __init__(self, clock: Clock, wake: Callable[[str], None], spread: TokenBucket) -> None:
        self._clock = clock
        self._wake = wake
        self._spread = spread
        self._at: dict[str, datetime] = {}
        self._heap: list[tuple[datetime, str]] = []  # may hold stale entries; _at is the truth
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._at)

    def set(self, key: str, at: datetime | None) -> None:
        """Replace the key's deadline; None: it has none."""
        if at is None:
            self._at.pop(key, None)
            return
        if self._at.get(key) == at:
            return
        self._at[key] = at
        heapq.heappush(self._heap, (at, key))
        if self._heap[0] == (at, key):
            self._changed.set()

    def seed(self, key: str, at: datetime) -> None:
        """A deadline from memory: counts only while nobody has worked out a better one."""
        if key not in self._at:
            self.set(key, at)

    async def run(self) -> None:
        """Wake keys for ever."""
        while True:
            if (key := self._pop_due()) is not None:
                await self._spread.take()
                self._wake(key)
                continue
            self._changed.clear()
            try:
                async with asyncio.timeout(self._sleep_seconds()):
                    await self._changed.wait()
            except TimeoutError:
                pass

    def _pop_due(self) -> str | None:
        now = self._clock.now()
        while self._heap:
            at, key = self._heap[0]
            if self._at.get(key) != at:
                heapq.heappop(self._heap)  # stale
                continue
            if at > now:
                return None
            heapq.heappop(self._heap)
            del self._at[key]
            return key
        return None

    def _sleep_seconds(self) -> float:
        if not self._heap:
            return _LONGEST_SLEEP_SECONDS
        left = (self._heap[0][0] - self._clock.now()).total_seconds()
        return min(_LONGEST_SLEEP_SECONDS, max(0.0, left))
