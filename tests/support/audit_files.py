"""Logs as gateways write them: a ledger for a folder, and what the folder's log says when read whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from support.audit_logs import KEY, UID

from bulkhead_sandbox.gateway.audit.ledger import Identity, Ledger
from bulkhead_wire.audit_chain import Anchor, Report, verify

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["begin", "end", "identity", "ledger", "lines", "point", "records", "report"]


def identity(process: str = "gateway-a.1") -> Identity:
    """One process of the workspace's gateway."""
    return Identity(workspace_uid=UID, tenant="acme", process=process)


def ledger(folder: Path, process: str = "gateway-a.1", **options: Any) -> Ledger:
    """What that process writes with."""
    return Ledger(folder, identity(process), KEY, **options)


def lines(folder: Path) -> Iterator[bytes]:
    """The log, file after file."""
    for path in sorted(folder.glob("*.jsonl")):
        with path.open("rb") as file:
            yield from file


def records(folder: Path, *, ev: str | None = None) -> list[dict[str, Any]]:
    """The records, or those of one event."""
    found = map(json.loads, lines(folder))
    return [record for record in found if ev in {None, record["ev"]}]


def report(folder: Path, anchor: Anchor | None = None) -> Report:
    """What the verifier says of it; Broken if it is."""
    return verify(lines(folder), anchor=anchor)


def begin(event: str = "tool") -> dict[str, Any]:
    """A call begins."""
    return {"ev": event, "phase": "begin", "out": "allow"}


def end(ref: int, event: str = "tool") -> dict[str, Any]:
    """And ends."""
    return {"ev": event, "phase": "end", "out": "allow", "ref": ref}


def point(event: str = "security") -> dict[str, Any]:
    """Something happens."""
    return {"ev": event, "phase": "point", "out": "deny", "why": "canary-leak"}
