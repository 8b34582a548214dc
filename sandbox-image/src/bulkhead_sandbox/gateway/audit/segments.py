"""The files of one log: lines in `<first seq>.jsonl`, one file after the other."""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from bulkhead_wire.audit import MAX_LINE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Segment", "first_seqs", "lines_from", "locked", "make_folder"]

_NAME: Final = re.compile(r"(\d{15})\.jsonl", re.ASCII)
_LOCK: Final = "lock"


def make_folder(folder: Path) -> None:
    """The folder, for this user only."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Nobody else appends meanwhile: for the seconds of a rolling update two gateways share the log."""
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)  # which also lets go of the lock


def first_seqs(folder: Path) -> list[int]:
    """The first record of each file, in order."""
    names = os.listdir(folder)  # noqa: PTH208 - twice as fast, and asked for each batch
    return sorted(int(match[1]) for match in map(_NAME.fullmatch, names) if match)


def lines_from(folder: Path, seq: int) -> Iterator[bytes]:
    """The lines from record `seq` on, as they are on disk; a last line may be cut."""
    firsts = first_seqs(folder)
    start = max((first for first in firsts if first <= seq), default=0)
    skip = seq - start
    for first in (first for first in firsts if first >= start):
        with _path(folder, first).open("rb") as file:
            while line := file.readline(MAX_LINE_BYTES + 1):
                if skip > 0:
                    skip -= 1
                else:
                    yield line


class Segment:
    """One file, open for appending; `end` is behind the last byte that is known to be durable and right."""

    def __init__(self, folder: Path, first: int, *, new: bool) -> None:
        """Create it if `new`, durably; OSError if the disk does not take it."""
        self.first = first
        self.end = 0
        self._path = _path(folder, first)
        flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if new else 0)
        self._fd = os.open(self._path, flags, 0o600)
        if new:
            _sync_folder(folder)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def lost_bytes(self) -> int:
        """How much of what was durable is gone; also when another file stands under the name."""
        try:
            named = os.stat(self._path)  # noqa: PTH116 - compared with fstat
        except FileNotFoundError:
            return self.end + 1
        here = os.fstat(self._fd)
        if (named.st_dev, named.st_ino) != (here.st_dev, here.st_ino):
            return self.end + 1
        return max(0, self.end - here.st_size)

    def new_lines(self) -> Iterator[bytes]:
        """Lines behind `end`, which the caller moves on; the last may be cut."""
        if os.fstat(self._fd).st_size == self.end:
            return
        with open(self._fd, "rb", closefd=False) as file:
            file.seek(self.end)
            while line := file.readline(MAX_LINE_BYTES + 1):
                yield line

    def append(self, data: bytes) -> None:
        """Durable when this returns; OSError: as if it had not been tried."""
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(self._fd, left) :]
            os.fdatasync(self._fd)
        except OSError:
            # After a failed sync the kernel forgets what it could not write: it must be written anew, and
            # whoever waits for it is told no. What cannot even be cut off is found as complete or torn lines.
            with suppress(OSError):
                os.ftruncate(self._fd, self.end)
            raise
        self.end += len(data)

    def cut(self) -> None:
        """Take away what is behind `end`, durably: the rest of a line that nobody was promised."""
        os.ftruncate(self._fd, self.end)
        os.fsync(self._fd)


def _path(folder: Path, first: int) -> Path:
    return folder / f"{first:015}.jsonl"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
