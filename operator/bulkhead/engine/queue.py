"""A queue of keys with the semantics of client-go's workqueue, plus priorities.

A key is in it once. A key is never handed to two workers at a time: added while one works on it, it runs
again afterwards. Of several delayed entries the earliest wins. When a key is handed out its delayed entry is
void, because the reconcile that starts now says itself when it wants to be called again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Backoff", "Priority", "QueueClosed", "WorkQueue"]


class Priority(IntEnum):
    """Lower is sooner."""

    FRESH = 0  # somebody changed something just now
    BACKGROUND = 1  # the start-up flood, the sweep, all workspaces of an edited class


class QueueClosed(Exception):
    """No key will be handed out any more."""


class Backoff(NamedTuple):
    """Pause after n failures in a row: base * 2^(n-1), at most max, shortened by up to a fifth at random."""

    base_seconds: float = 1.0
    max_seconds: float = 300.0

    def seconds(self, failures: int, random: Callable[[], float]) -> float:
        """The pause after so many failures in a row."""
        steps = min(failures - 1, 32)  # 2^32 seconds are beyond any maximum
        return min(self.max_seconds, self.base_seconds * 2.0**steps) * (0.8 + 0.2 * random())


_BACKOFF: Final = Backoff()


class _Due(NamedTuple):
    at: float
    key: str


class WorkQueue:
    """The one queue of workspace names; every source of work only adds keys."""

    def __init__(
        self,
        *,
        random: Callable[[], float],
        backoff: Backoff = _BACKOFF,
        on_add: Callable[[], None] = lambda: None,
    ) -> None:
        self._random = random
        self._backoff = backoff
        self._on_add = on_add
        self._ready: dict[Priority, dict[str, float]] = {priority: {} for priority in Priority}  # key: since
        self._running: set[str] = set()
        self._dirty: dict[str, Priority] = {}  # added while running
        self._delayed: dict[str, tuple[float, Priority]] = {}
        self._heap: list[_Due] = []  # may hold stale entries; _delayed is the truth
        self._timer: asyncio.TimerHandle | None = None
        self._failures: dict[str, int] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._closed = False

    def __len__(self) -> int:
        return sum(map(len, self._ready.values()))

    @property
    def running(self) -> int:
        """How many keys workers hold."""
        return len(self._running)

    @property
    def delayed(self) -> int:
        """How many keys wait for their time."""
        return len(self._delayed)

    def oldest_seconds(self) -> float:
        """For how long the longest-waiting ready key has waited; 0 when there is none."""
        since = [min(keys.values()) for keys in self._ready.values() if keys]
        return asyncio.get_running_loop().time() - min(since) if since else 0.0

    def add(self, key: str, priority: Priority = Priority.FRESH) -> None:
        """Have the key reconciled as soon as a worker is free; a better priority moves it up."""
        if self._closed:
            return
        self._on_add()
        if key in self._running:
            self._dirty[key] = min(priority, self._dirty.get(key, priority))
            return
        for other, keys in self._ready.items():
            if key in keys:
                if priority < other:
                    self._ready[priority][key] = keys.pop(key)  # its age counts on
                return
        self._ready[priority][key] = asyncio.get_running_loop().time()
        self._wake_one()

    def add_after(self, key: str, seconds: float, priority: Priority = Priority.FRESH) -> None:
        """Add the key in so many seconds, unless it is due earlier anyway."""
        if seconds <= 0:
            self.add(key, priority)
            return
        at = asyncio.get_running_loop().time() + seconds
        known = self._delayed.get(key)
        if self._closed or (known is not None and known[0] <= at):
            return
        self._delayed[key] = (at, priority)
        heapq.heappush(self._heap, _Due(at, key))
        self._arm()

    def retry(self, key: str, priority: Priority = Priority.FRESH) -> float:
        """Add the key after its backoff; returns the seconds."""
        self._failures[key] = self._failures.get(key, 0) + 1
        seconds = self._backoff.seconds(self._failures[key], self._random)
        self.add_after(key, seconds, priority)
        return seconds

    def forget(self, key: str) -> None:
        """The key succeeded: its next failure starts from the shortest pause."""
        self._failures.pop(key, None)

    async def get(self) -> str:
        """The next key; the caller must say `done` afterwards. Raises QueueClosed."""
        while True:
            if self._closed:
                raise QueueClosed
            for keys in self._ready.values():
                if keys:
                    key = next(iter(keys))
                    del keys[key]
                    self._running.add(key)
                    self._delayed.pop(key, None)
                    return key
            await self._wait()

    def done(self, key: str) -> None:
        """The worker has finished with the key; if it was added meanwhile it is ready again."""
        self._running.discard(key)
        if key in self._dirty:
            self.add(key, self._dirty.pop(key))

    def close(self) -> None:
        """Hand out nothing more; workers finish what they hold and see QueueClosed."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        while self._waiters:
            self._wake_one()

    async def _wait(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            # Woken and cancelled in one go: the key that it was woken for needs another worker.
            if waiter.done() and not waiter.cancelled():
                self._wake_one()
            raise

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _arm(self) -> None:
        """Keep one timer, for the earliest entry."""
        if not self._heap:
            return
        if self._timer is not None:
            if self._timer.when() <= self._heap[0].at and not self._timer.cancelled():
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(self._heap[0].at, self._release_due)

    def _release_due(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        while self._heap and self._heap[0].at <= now:
            due = heapq.heappop(self._heap)
            entry = self._delayed.get(due.key)
            if entry is not None and entry[0] == due.at:
                del self._delayed[due.key]
                self.add(due.key, entry[1])
        self._arm()
