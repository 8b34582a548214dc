"""An audit log in memory: what was put on record, in order; it can be told to fail."""

from __future__ import annotations

from typing import Any

from bulkhead_sandbox.problems import Problem, Slug

__all__ = ["MemoryTrail"]


class MemoryTrail:
    """A Trail whose records tests look at."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.fails = False

    async def begin(self, event: str, /, **fields: Any) -> int:
        """The number of the record."""
        return self._add(event, "begin", "allow", fields)

    async def end(self, ref: int, outcome: str, /, **fields: Any) -> None:
        """A record that points at its begin."""
        self._add(self.records[ref]["ev"], "end", outcome, {"ref": ref, **fields})

    async def point(self, event: str, outcome: str, /, **fields: Any) -> None:
        """A record on its own."""
        self._add(event, "point", outcome, fields)

    def _add(self, event: str, phase: str, outcome: str, fields: dict[str, Any]) -> int:
        if self.fails:
            raise Problem(Slug.AUDIT_UNAVAILABLE)
        self.records.append({"ev": event, "phase": phase, "out": outcome, **fields})
        return len(self.records) - 1
