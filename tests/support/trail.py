"""An audit log in memory: what was put on record, in order; it can be told to fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from bulkhead_sandbox.problems import Problem, Slug
from bulkhead_wire.audit import NO_RECORD, fault

__all__ = ["MemoryTrail"]

TIME = "2027-01-15T08:00:00.000Z"


@dataclass
class MemoryHead:
    """Where the log ends."""

    seq: int

    def wire(self) -> dict[str, Any]:
        """Not signed: nobody here verifies it."""
        return {"seq": self.seq, "checkpoint": {"seq": self.seq}}


class MemoryTrail:
    """An AuditLog whose records tests look at."""

    def __init__(self) -> None:
        self.records_made: list[dict[str, Any]] = []
        self.fails = False

    @property
    def healthy(self) -> bool:
        """Until it is told to fail."""
        return not self.fails

    @property
    def seq(self) -> int:
        """Of the last record."""
        return len(self.records_made) - 1

    def lag_seconds(self) -> float:
        """Memory does not let anything wait."""
        return 0.0

    async def begin(self, event: str, /, **fields: Any) -> int:
        """The number of the record."""
        return self._add(event, "begin", "allow", fields)

    async def end(self, ref: int, outcome: str, /, **fields: Any) -> None:
        """A record that points at its begin; never fails."""
        fails, self.fails = self.fails, False
        self._add(self.records_made[ref]["ev"], "end", outcome, {"ref": ref, **fields})
        self.fails = fails

    async def point(self, event: str, outcome: str, /, **fields: Any) -> None:
        """A record on its own."""
        self._add(event, "point", outcome, fields)

    async def head(self) -> MemoryHead:
        """Where it ends now."""
        return MemoryHead(self.seq)

    async def records(self, after_seq: int, limit: int) -> list[bytes]:
        """As lines."""
        found = self.records_made[after_seq + 1 : after_seq + 1 + limit]
        return [orjson.dumps(record) + b"\n" for record in found]

    def _add(self, event: str, phase: str, outcome: str, fields: dict[str, Any]) -> int:
        if self.fails:
            raise Problem(Slug.AUDIT_UNAVAILABLE)
        record = {"ev": event, "phase": phase, "out": outcome, **fields}
        wrong = fault(
            {"v": 1, "seq": 1_000_000, "ts": TIME, "ws": "u", "gw": "g", "prev": NO_RECORD, "hash": NO_RECORD}
            | record
        )
        assert wrong is None, f"no audit record: {wrong}"
        self.records_made.append(record)
        return len(self.records_made) - 1
