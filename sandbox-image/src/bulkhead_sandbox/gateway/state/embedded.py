"""The state of one replica: answered from memory, written behind to a file of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from bulkhead_sandbox.gateway.state.database import Changes, Database, Seen, Stored
from bulkhead_sandbox.gateway.state.seams import StateFailed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.logs import Log

__all__ = ["EmbeddedState"]

T = TypeVar("T")
MAX_SEEN: Final = 50_000
KEPT_DAYS: Final = 8  # a debt of a day is carried over the seven that follow
_FLUSH_SECONDS: Final = 0.5
_PURGE_SECONDS: Final = 60.0


class EmbeddedState:
    """DailyCounters, SeenTokens and Epoch of one gateway; the event loop never waits for the disk.

    What was counted in the last second is lost with the process; what was reserved is counted from the start
    of a call, so a crash in the middle of one has counted the worst case.
    """

    def __init__(self, *, wall: Clock, kept_from: int, log: Log) -> None:
        """Use `open`. `kept_from`: amounts of past days up to this one are of no further use."""
        self._wall = wall
        self._kept_from = kept_from
        self._log = log
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        self._writing = asyncio.Lock()
        self._changed = asyncio.Event()
        self._pending = Changes()
        self._purged_at = wall()
        self._today = datetime.fromtimestamp(wall(), UTC).date().isoformat()
        self._database: Database
        self._stored: Stored
        self.healthy = True

    @classmethod
    async def open(cls, path: Path, *, wall: Clock, kept_from: int, log: Log) -> EmbeddedState:
        """The state as the file has it; StateFailed if it cannot be read or written."""
        state = cls(wall=wall, kept_from=kept_from, log=log)
        now, today = wall(), state._today
        try:
            state._database = await state._on_thread(lambda: Database(path))
            state._stored = await state._on_thread(
                lambda: state._database.load(today, _oldest(today), kept_from, now)
            )
        except BaseException:
            state._thread.shutdown(wait=False)
            raise
        return state

    def add(self, day: str, key: str, amount: int) -> None:
        """Count `amount`; StateFailed while the file cannot be written."""
        self._must_be_healthy()
        if day > self._today:
            self._turn_to(day)
        at = (day, key)
        self._stored.counters[at] = self._stored.counters.get(at, 0) + amount
        self._pending.counters[at] = self._pending.counters.get(at, 0) + amount
        self._changed.set()

    def get(self, day: str, key: str) -> int:
        """What was counted, by this process and, as of its last write, by another."""
        return self._stored.counters.get((day, key), 0)

    def first_use(self, token_id: str, digest: bytes, expires_at: int) -> bool:
        """False: this id was used with another digest. StateFailed if no more can be remembered."""
        known = self._stored.seen.get(token_id)
        if known is not None:
            return known[0] == digest
        self._must_be_healthy()
        if len(self._stored.seen) >= MAX_SEEN and not self._drop_expired():
            raise StateFailed(
                f"remember token: {MAX_SEEN} are in force; nobody new is let in until some expire"
            )
        self._stored.seen[token_id] = self._pending.seen[token_id] = (digest, expires_at)
        self._changed.set()
        return True

    def epoch(self) -> int:
        """The highest that was ever set."""
        return self._stored.epoch

    async def raise_epoch(self, epoch: int) -> None:
        """In force at once, durable when this returns; StateFailed if it is in force only."""
        self._stored.epoch = max(self._stored.epoch, epoch)
        self._pending.epoch = self._stored.epoch
        await self.flush()

    async def flush(self) -> None:
        """Everything counted so far is in the file; StateFailed if not: it is kept for another try."""
        async with self._writing:
            changes, self._pending = self._pending, Changes()
            now = self._wall()
            expired_before = now if not 0 <= now - self._purged_at < _PURGE_SECONDS else None
            if not changes:
                return
            try:
                stored = await self._on_thread(lambda: self._database.write(changes, expired_before))
            except StateFailed:
                self._put_back(changes)
                raise
            if expired_before is not None:
                self._purged_at = now
                self._drop_expired()
            self._learn(stored)

    async def flushing(self) -> None:
        """Write within a second of each change, for as long as the gateway lives."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(_FLUSH_SECONDS)
            self._changed.clear()
            try:
                await self.flush()
            except StateFailed as failed:
                if self.healthy:
                    self._log.error("state.failed", error=type(failed.__cause__).__name__)
                self.healthy = False
                self._changed.set()
            else:
                if not self.healthy:
                    self._log.info("state.recovered")
                self.healthy = True

    async def close(self) -> None:
        """Write what is left and give the file up."""
        try:
            await self.flush()
        finally:
            await self._on_thread(self._database.close)
            self._thread.shutdown()

    def _must_be_healthy(self) -> None:
        if not self.healthy:
            raise StateFailed("count: the file cannot be written; nothing is admitted until it can")

    def _put_back(self, changes: Changes) -> None:
        for at, amount in changes.counters.items():
            self._pending.counters[at] = self._pending.counters.get(at, 0) + amount
        self._pending.seen = {**changes.seen, **self._pending.seen}
        if self._pending.epoch is None:
            self._pending.epoch = changes.epoch

    def _learn(self, stored: Stored) -> None:
        """What the file says, and what was counted here since it was asked."""
        for at, amount in stored.counters.items():
            self._stored.counters[at] = amount + self._pending.counters.get(at, 0)
        self._stored.seen.update(stored.seen)
        self._stored.epoch = max(self._stored.epoch, stored.epoch)

    def _turn_to(self, day: str) -> None:
        self._today = day
        oldest = _oldest(day)
        self._stored.counters = {
            at: amount
            for at, amount in self._stored.counters.items()
            if at[0] >= oldest and amount > self._kept_from
        }

    def _drop_expired(self) -> bool:
        now = self._wall()
        kept: dict[str, Seen] = {
            token_id: seen for token_id, seen in self._stored.seen.items() if seen[1] >= now
        }
        self._stored.seen = kept
        return len(kept) < MAX_SEEN

    async def _on_thread(self, work: Callable[[], T]) -> T:
        # Shielded: a task that is cancelled must not lose track of a write that happens all the same.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._thread, work))


def _oldest(day: str) -> str:
    return (date.fromisoformat(day) - timedelta(days=KEPT_DAYS)).isoformat()
