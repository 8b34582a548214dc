"""Many keys for one cause, let into the queue a few at a time: a class edit must not delay what is fresh."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bulkhead.engine.queue import Priority

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkhead.engine.deadlines import TokenBucket
    from bulkhead.engine.queue import WorkQueue

__all__ = ["Spread"]


class Spread:
    """A key that waits here waits once, however many causes it has."""

    def __init__(self, queue: WorkQueue, bucket: TokenBucket) -> None:
        self._queue = queue
        self._bucket = bucket
        self._waiting: dict[str, None] = {}  # in order of arrival
        self._arrived = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, keys: Iterable[str]) -> None:
        """Have them reconciled in turn, after whatever is fresh."""
        self._waiting.update(dict.fromkeys(keys))
        if self._waiting:
            self._arrived.set()

    async def run(self) -> None:
        """Let keys into the queue for ever."""
        while True:
            await self._arrived.wait()
            await self._bucket.take()
            key = next(iter(self._waiting))
            del self._waiting[key]
            if not self._waiting:
                self._arrived.clear()
            self._queue.add(key, Priority.BACKGROUND)
