"""Which gateway processes write to a log: each holds a lock on a file of its own for as long as it lives."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Final

from bulkhead_sandbox.gateway.audit.segments import lines_from, make_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Dead", "Presence", "calls_left_open"]

_FOLDER: Final = "processes"


class Dead:
    """A process that ended without a word; `oldest_seq`: its open calls began there or later."""

    def __init__(self, path: Path, oldest_seq: int) -> None:
        self.process = path.name
        self.oldest_seq = oldest_seq
        self._path = path

    def forget(self) -> None:
        """Its calls are closed."""
        self._path.unlink(missing_ok=True)


class Presence:
    """This process, among those that may still live. All of it under the log's lock."""

    def __init__(self, folder: Path, process: str) -> None:
        self._folder = folder / _FOLDER
        self._process = process
        self._fd: int | None = None

    def dead(self) -> Iterator[Dead]:
        """The others whose lock nobody holds any more: the kernel lets go of it when a process dies."""
        make_folder(self._folder)
        for path in sorted(self._folder.iterdir()):
            if path.name != self._process and (oldest := _oldest_if_dead(path)) is not None:
                yield Dead(path, oldest)

    def mark(self, oldest_seq: int) -> None:
        """Alive; calls that are open began at `oldest_seq` or later, so that is where to look for them."""
        if self._fd is None:
            make_folder(self._folder)
            path = self._folder / self._process
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._fd = descriptor
        os.pwrite(self._fd, f"{oldest_seq:020}".encode(), 0)

    def leave(self, *, calls_are_open: bool) -> None:
        """Gone; if calls are open, the next process to start finds and closes them."""
        if self._fd is None:
            return
        if not calls_are_open:
            (self._folder / self._process).unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = None


def _oldest_if_dead(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        text = os.pread(descriptor, 20, 0)
        return int(text) if text.isdigit() else 0
    except BlockingIOError:
        return None
    finally:
        os.close(descriptor)


def calls_left_open(folder: Path, dead: Dead) -> dict[int, str]:
    """Begins of a dead process that have no end: seq and event."""
    found: dict[int, str] = {}
    for line in lines_from(folder, dead.oldest_seq):
        if b'"phase":"point"' in line:
            continue
        record = json.loads(line)
        if record["phase"] == "end":
            found.pop(record["ref"], None)
        elif record["gw"] == dead.process:
            found[record["seq"]] = record["ev"]
    return found
