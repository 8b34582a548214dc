"""The audit log as handlers see it: group commit in a thread, and no work where nothing can be put on record.

A `begin` is written at once, together with whatever else waits: while one batch is being synced, the next
gathers. Ends and points wait for company, at most 20 ms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar, TypeVarTuple

from bulkhead_sandbox.clock import rfc3339
from bulkhead_sandbox.gateway.audit.ledger import Identity, Ledger
from bulkhead_sandbox.problems import Problem, Slug
from bulkhead_wire.audit import NO_RECORD, Event, Outcome, Phase, fault
from bulkhead_wire.keys import SigningKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.gateway.audit.ledger import Head
    from bulkhead_sandbox.logs import Log

__all__ = ["AuditLog", "Ref", "open_audit"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_BATCH_RECORDS: Final = 64
_COMPANY_SECONDS: Final = 0.02
_CHECKPOINT_SECONDS: Final = 10.0
_RETRY_SECONDS: Final = 1.0
_BEGIN_SECONDS: Final = 5.0  # a disk that takes longer does not take records
_MAX_WAITING: Final = 4096
_MAX_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Ref:
    """A call whose begin is on disk."""

    event: str
    seq: int
    begun_at: float  # of the event loop's clock


@dataclass(slots=True, eq=False)
class _Item:
    """A record to be written; `waiter` gets its seq, or None if it cannot be written."""

    entry: dict[str, Any]
    since: float
    waiter: asyncio.Future[int | None] | None = None


class AuditLog:
    """One process's access to the workspace's log; made by `open_audit`."""

    def __init__(self, ledger: Ledger, *, identity: Identity, wall: Clock, log: Log) -> None:
        self._ledger = ledger
        self._identity = identity
        self._wall = wall
        self._log = log
        self._time = asyncio.get_running_loop().time
        self._waiting: deque[_Item] = deque()
        self._wake = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._closing = False
        self._healthy = False
        self._signed_at = self._retry_at = self._time()

    @property
    def healthy(self) -> bool:
        """Whether the last write succeeded; otherwise no work may be accepted."""
        return self._healthy

    @property
    def seq(self) -> int:
        """The last record on disk."""
        return self._ledger.seq

    def lag_seconds(self) -> float:
        """How long the oldest record waits to be written."""
        return self._time() - self._waiting[0].since if self._waiting else 0.0

    async def begin(self, event: str, /, **fields: Any) -> Ref:
        """Durable when this returns; Problem(AUDIT_UNAVAILABLE): there is no record, and may be no call."""
        item = self._item(event, Phase.BEGIN, Outcome.ALLOW, fields)
        self._must_take_work()
        waiter = item.waiter = asyncio.get_running_loop().create_future()
        self._push(item)
        try:
            async with asyncio.timeout(_BEGIN_SECONDS):
                seq = await waiter
        except (asyncio.CancelledError, TimeoutError) as gone:
            if waiter.done() and not waiter.cancelled():
                self._abandoned(item, waiter.result())  # both happened in one turn of the loop
            if isinstance(gone, asyncio.CancelledError):
                raise
            seq = None
        if seq is None:
            raise Problem(Slug.AUDIT_UNAVAILABLE)
        return Ref(event, seq, self._time())

    async def end(self, ref: Ref, outcome: str, /, **fields: Any) -> None:
        """On disk within 20 ms, or as soon as the disk takes records again; `ms` is filled in."""
        members = {"ms": round((self._time() - ref.begun_at) * 1000), **fields, "ref": ref.seq}
        self._push(self._item(ref.event, Phase.END, outcome, members))

    async def point(self, event: str, outcome: str, /, **fields: Any) -> None:
        """On disk within 20 ms; Problem(AUDIT_UNAVAILABLE) while the disk takes no records."""
        item = self._item(event, Phase.POINT, outcome, fields)
        self._must_take_work()
        self._push(item)

    async def head(self) -> Head:
        """The end of the log on disk, signed now; Problem(AUDIT_UNAVAILABLE) if it cannot be read."""
        try:
            return await self._in_thread(self._ledger.head, self._wall())
        except OSError as error:
            raise Problem(Slug.AUDIT_UNAVAILABLE) from error

    async def records(self, after_seq: int, limit: int) -> list[bytes]:
        """At most `limit` (500) durable lines behind record `after_seq` (-1: from the first)."""
        await self.head()  # so that what another process wrote is among them
        try:
            return await asyncio.to_thread(self._ledger.records, after_seq, min(limit, _MAX_PAGE))
        except OSError as error:
            raise Problem(Slug.AUDIT_UNAVAILABLE) from error

    async def run(self) -> None:
        """Write until closed; a failure of any kind refuses work and is tried again."""
        while not self._closing:
            await self._until_due()
            await self._commit()
        await self._commit()
        while self._waiting and self._healthy:
            await self._commit()

    async def close(self, writing: asyncio.Task[None]) -> None:
        """Write what waits, that this process ends, and a last checkpoint."""
        if self._healthy:
            self._push(self._item(Event.DRAIN, Phase.POINT, Outcome.ALLOW, {}))
        self._closing = True
        self._wake.set()
        await writing
        await self._in_thread(self._ledger.close)
        self._thread.shutdown()
        if self._waiting:
            self._log.error("audit.unwritten", reason=f"{len(self._waiting)} records")

    async def start(self) -> None:
        """Take up the log; if that fails, it is tried again with the first write."""
        await self._commit()

    def _item(self, event: str, phase: str, outcome: str, fields: dict[str, Any]) -> _Item:
        """ValueError for what can never be a record: a mistake in the program, found before it waits."""
        entry = {"ev": event, "phase": phase, "out": outcome, "ts": rfc3339(self._wall()), **fields}
        place = {
            "v": 1, "seq": entry.get("ref", 0) + 1, "prev": NO_RECORD, "hash": NO_RECORD,
            "ws": self._identity.workspace_uid, "gw": self._identity.process,
        }  # fmt: skip
        wrong = fault({**place, **entry})
        if wrong is not None:
            raise ValueError(f"no audit record: {wrong}")
        return _Item(entry, self._time())

    def _must_take_work(self) -> None:
        if not self._healthy or self._closing or len(self._waiting) >= _MAX_WAITING:
            raise Problem(Slug.AUDIT_UNAVAILABLE)

    def _push(self, item: _Item) -> None:
        self._waiting.append(item)
        self._wake.set()

    def _abandoned(self, item: _Item, seq: int | None) -> None:
        """Whoever asked for the begin is gone, and it stands in the log: say how it ended."""
        if seq is not None:
            members = {"ref": seq, "why": "abandoned"}
            self._push(self._item(item.entry["ev"], Phase.END, Outcome.ERROR, members))

    async def _until_due(self) -> None:
        while (seconds := self._seconds_left()) is None or seconds > 0:
            self._wake.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._wake.wait()

    def _seconds_left(self) -> float | None:
        """Until something must be written; None: until somebody comes."""
        now = self._time()
        if self._closing:
            return 0
        if not self._healthy:
            return self._retry_at - now
        if len(self._waiting) >= _BATCH_RECORDS or any(item.waiter for item in self._waiting):
            return 0
        due = []
        if self._waiting:
            due.append(self._waiting[0].since + _COMPANY_SECONDS)
        if self._ledger.unsigned:
            due.append(self._signed_at + _CHECKPOINT_SECONDS)
        return min(due) - now if due else None

    async def _commit(self) -> None:
        batch = self._next_batch()
        sign = self._closing or self._time() >= self._signed_at + _CHECKPOINT_SECONDS
        try:
            seqs = await self._in_thread(self._append, [item.entry for item in batch], sign)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody may wait for ever, nor work go on
            self._failed(batch, error)
            return
        if sign or not self._ledger.unsigned:
            self._signed_at = self._time()
        if not self._healthy:
            self._healthy = True
            self._log.info("audit.writes")
        for item, seq in zip(batch, seqs, strict=True):
            if item.waiter is None:
                continue
            if item.waiter.cancelled():
                self._abandoned(item, seq)
            else:
                item.waiter.set_result(seq)

    def _append(self, entries: list[dict[str, Any]], sign: bool) -> list[int]:  # noqa: FBT001 - in a thread
        return self._ledger.append(entries, self._wall(), sign=sign)

    def _next_batch(self) -> list[_Item]:
        batch: list[_Item] = []
        while self._waiting and len(batch) < _BATCH_RECORDS:
            item = self._waiting.popleft()
            if item.waiter is None or not item.waiter.cancelled():
                batch.append(item)
        return batch

    def _failed(self, batch: list[_Item], error: Exception) -> None:
        """Begins are refused; everything else waits for the disk, and a record of the failure with it."""
        kept: deque[_Item] = deque()
        for item in (*batch, *self._waiting):
            if item.waiter is None:
                kept.append(item)
            elif not item.waiter.done():
                item.waiter.set_result(None)
        self._waiting = kept
        self._retry_at = self._time() + _RETRY_SECONDS
        if self._healthy:
            self._push(self._item(Event.RECOVERY, Phase.POINT, Outcome.ERROR, {"why": "write-failed"}))
            self._healthy = False
            self._log.error("audit.failed", error=type(error).__name__)

    async def _in_thread(self, function: Callable[[*Ts], T], /, *arguments: *Ts) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)


@asynccontextmanager
async def open_audit(
    folder: Path, *, identity: Identity, signing_seed: bytes, wall: Clock, log: Log
) -> AsyncIterator[AuditLog]:
    """The workspace's log in `folder`, written until the block ends; not healthy if it cannot be taken up."""
    ledger = Ledger(folder, identity, SigningKey.from_seed(signing_seed))
    audit = AuditLog(ledger, identity=identity, wall=wall, log=log)
    await audit.start()
    writing = asyncio.create_task(audit.run())
    try:
        yield audit
    finally:
        await audit.close(writing)
