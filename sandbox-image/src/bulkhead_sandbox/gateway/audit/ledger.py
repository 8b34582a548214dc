"""The chain on disk: appended under a lock, read on where another process wrote, repaired in the open.

Everything here blocks; `log.py` runs it in a thread of its own.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from bulkhead_sandbox.clock import rfc3339
from bulkhead_sandbox.gateway.audit.processes import Presence, calls_left_open
from bulkhead_sandbox.gateway.audit.segments import Segment, first_seqs, lines_from, locked, make_folder
from bulkhead_wire.audit import (
    CHECKPOINT_RECORDS,
    NO_RECORD,
    Checkpoint,
    Event,
    Outcome,
    Phase,
    fault,
    sealed,
)
from bulkhead_wire.audit_chain import Broken, Reason, Verifier
from bulkhead_wire.keys import SigningKey, encode_base64url

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["SEGMENT_BYTES", "Damaged", "Head", "Identity", "Ledger"]

SEGMENT_BYTES: Final = 16 * 1024 * 1024

Entry = dict[str, Any]  # members of a record but those that its place in the chain gives


class Damaged(Exception):
    """What is on disk is not what was written: nothing may be added as if it were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose log it is, and which process writes."""

    workspace_uid: str
    tenant: str
    process: str  # never used twice


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The end of the log as it is on disk; `intact`: nothing that this process knows of it is gone."""

    seq: int
    head: str
    intact: bool
    checkpoint: Checkpoint

    def wire(self) -> dict[str, Any]:
        """Its members, for JSON."""
        return {
            "seq": self.seq,
            "head": self.head,
            "kid": self.checkpoint.kid,
            "intact": self.intact,
            "checkpoint": self.checkpoint.wire(),
        }


class _Batch:
    """Lines that follow a record, sealed one after the other, with a checkpoint wherever one is due."""

    def __init__(self, identity: Identity, key: SigningKey, chain: Verifier, ts: str) -> None:
        self._identity = identity
        self._key = key
        self._ts = ts
        self.seq = chain.seq
        self.head = chain.head or NO_RECORD
        self.unsigned = chain.unsigned
        self.lines: list[bytes] = []

    def add(self, entry: Entry) -> int:
        """The new record's seq."""
        self._seal(entry)
        seq = self.seq
        self.unsigned += 1
        if self.unsigned == CHECKPOINT_RECORDS - 1:
            self.checkpoint()
        return seq

    def checkpoint(self) -> None:
        """Sign everything so far."""
        signed = Checkpoint.signed(
            self._key, origin=self._identity.workspace_uid, seq=self.seq, head=self.head, time=self._ts
        )
        self._seal(_point(Event.CHECKPOINT, ts=self._ts, kid=signed.kid, sig=signed.sig))
        self.unsigned = 0

    def _seal(self, entry: Entry) -> None:
        place = {
            "seq": self.seq + 1,
            "ts": self._ts,
            "ws": self._identity.workspace_uid,
            "gw": self._identity.process,
        }
        line, self.head = sealed(self.head, {**place, **entry})
        self.seq += 1
        self.lines.append(line)


class Ledger:
    """One workspace's log. Damaged once is damaged for good: an administrator has to look."""

    def __init__(
        self, folder: Path, identity: Identity, key: SigningKey, *, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        self._folder = folder
        self._identity = identity
        self._key = key
        self._segment_bytes = segment_bytes
        self._segment: Segment | None = None
        self._chain = Verifier(workspace_uid=identity.workspace_uid, key=key.public)
        self._torn_bytes = 0
        self._presence = Presence(folder, identity.process)
        self._open: set[int] = set()
        self._started = False
        self._damaged = False

    @property
    def seq(self) -> int:
        """The last record that this process knows of; -1: none."""
        return self._chain.seq

    @property
    def unsigned(self) -> int:
        """Records since the last checkpoint."""
        return self._chain.unsigned

    def append(self, entries: Sequence[Entry], now: float, *, sign: bool) -> list[int]:
        """Their seqs, all durable; OSError: none of them was written. `sign`: a checkpoint behind them.

        The first call takes up the log, or begins one, and closes what processes that died left open.
        """
        ts = rfc3339(now)
        if not self._started:
            make_folder(self._folder)
        with locked(self._folder):
            self._catch_up()
            if not self._started:
                self._start(ts)
                self._started = True
            return self._append(entries, ts, sign=sign)

    def _start(self, ts: str) -> None:
        self._presence.mark(self._chain.seq + 1)
        dead = list(self._presence.dead())
        orphans = [
            {"ev": event, "phase": Phase.END, "out": Outcome.ERROR, "why": "orphan", "ref": seq}
            for each in dead
            for seq, event in calls_left_open(self._folder, each).items()
        ]
        self._append([*orphans, _point(Event.CONFIG, why="started")], ts, sign=False)
        for each in dead:
            each.forget()

    def head(self, now: float) -> Head:
        """What the files end with at this moment, signed; also of a damaged log, so that it shows."""
        make_folder(self._folder)
        with locked(self._folder):
            try:
                self._catch_up()
                seq, head = self._chain.seq, self._chain.head or NO_RECORD
            except Damaged:
                seq, head = self._last_on_disk()
        checkpoint = Checkpoint.signed(
            self._key, origin=self._identity.workspace_uid, seq=max(0, seq), head=head, time=rfc3339(now)
        )
        return Head(seq=max(0, seq), head=head, intact=not self._damaged, checkpoint=checkpoint)

    def records(self, after_seq: int, limit: int) -> list[bytes]:
        """At most `limit` lines behind record `after_seq`, none that is not durable; without the lock."""
        return list(islice(lines_from(self._folder, after_seq + 1), max(0, min(limit, self.seq - after_seq))))

    def close(self) -> None:
        """Let go of the files."""
        self._presence.leave(calls_are_open=bool(self._open))
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _append(self, entries: Sequence[Entry], ts: str, *, sign: bool) -> list[int]:
        segment = self._segment
        if segment is None or segment.end >= self._segment_bytes:
            segment = self._switch(self._chain.seq + 1, new=True)
        batch = _Batch(self._identity, self._key, self._chain, ts)
        if segment.end == 0:
            batch.add(self._first_of_file())
            batch.checkpoint()  # so that each file can be counted on its own
        if self._torn_bytes:
            segment.cut()
            batch.add(_point(Event.RECOVERY, Outcome.ERROR, why="torn-line", len={"cut": self._torn_bytes}))
        seqs = [batch.add(entry) for entry in entries]
        if sign and batch.unsigned:
            batch.checkpoint()
        if batch.lines:
            segment.append(b"".join(batch.lines))
        self._torn_bytes = 0
        self._chain.seq, self._chain.head, self._chain.unsigned = batch.seq, batch.head, batch.unsigned
        self._remember_open(entries, seqs)
        return seqs

    def _first_of_file(self) -> Entry:
        if self._chain.seq >= 0:
            return _point(Event.SEGMENT)
        public = encode_base64url(self._key.public.public_bytes)
        return _point(Event.GENESIS, tenant=self._identity.tenant, kid=self._key.kid, key=public)

    def _remember_open(self, entries: Sequence[Entry], seqs: list[int]) -> None:
        for entry, seq in zip(entries, seqs, strict=True):
            if entry["phase"] == Phase.BEGIN:
                self._open.add(seq)
            elif entry["phase"] == Phase.END:
                self._open.discard(entry["ref"])

    def _catch_up(self) -> None:
        """Know the log up to its end, whoever wrote it; Damaged if it is not what followed."""
        if self._damaged:
            raise Damaged("the log was damaged before")
        try:
            self._read_on()
        except (Broken, Damaged) as error:
            self._damaged = True
            raise Damaged(str(error)) from error

    def _read_on(self) -> None:
        firsts = first_seqs(self._folder)
        if self._segment is None:
            if not firsts:
                return
            self._begin_at(firsts[-1])
        while True:
            self._read_segment()
            following = [first for first in firsts if self._segment and first > self._segment.first]
            if not following:
                return
            if self._torn_bytes or following[0] != self._chain.seq + 1:
                raise Damaged("a file does not go on where the one before it ends")
            self._switch(following[0], new=False)

    def _begin_at(self, first: int) -> None:
        """A file's first line says what it follows; that is for `verify` to check, over all files.

        Whose log it is and whose key signs it shows in each file: it begins with a checkpoint.
        """
        self._chain = Verifier(
            workspace_uid=self._identity.workspace_uid,
            key=self._key.public,
            next_seq=first,
            prev=NO_RECORD if first == 0 else None,
        )
        self._segment = Segment(self._folder, first, new=False)

    def _switch(self, first: int, *, new: bool) -> Segment:
        following = Segment(self._folder, first, new=new)
        if self._segment is not None:
            # A new file is the moment to say that older ones need not be searched for open calls.
            self._presence.mark(min(self._open, default=first))
            self._segment.close()
        self._segment = following
        return following

    def _read_segment(self) -> None:
        segment = self._segment
        if segment is None:
            return
        if segment.lost_bytes():
            raise Damaged("durable records are gone")
        self._torn_bytes = 0
        for line in segment.new_lines():
            try:
                self._chain.feed(line)
            except Broken as broken:
                if broken.reason is not Reason.CUT_LINE:
                    raise
                self._torn_bytes = len(line)
                return
            segment.end += len(line)

    def _last_on_disk(self) -> tuple[int, str]:
        """The last line that is a record by its form."""
        found = (-1, NO_RECORD)
        firsts = first_seqs(self._folder)
        for line in lines_from(self._folder, firsts[-1]) if firsts else ():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and fault(record) is None:
                found = (record["seq"], record["hash"])
        return found


def _point(event: Event, outcome: Outcome = Outcome.ALLOW, **members: Any) -> Entry:
    return {"ev": event, "phase": Phase.POINT, "out": outcome, **members}
