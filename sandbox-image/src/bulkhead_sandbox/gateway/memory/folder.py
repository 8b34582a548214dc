"""The folder of all users' files: which is whose, which are open, and that what goes leaves no trace.

Two processes share it for the seconds of a rolling update: each call holds the folder's lock, and an open
file that the other process has removed meanwhile is noticed by its inode.
"""

from __future__ import annotations

import fcntl
import hmac
import os
import re
import time
from collections import OrderedDict
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import apsw

from bulkhead_sandbox.gateway.memory.failures import MemoryFailed
from bulkhead_sandbox.gateway.memory.user_file import Conversation, UserFile, identity, parts
from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bulkhead_sandbox.gateway.memory.steady import SteadyClock

__all__ = ["MAX_OPEN", "Folder", "Swept"]

MAX_OPEN: Final = 64
LEAST_FREE: Final = 0.2  # of the volume, which holds the audit log too: memory must not stop that
VISIT_SECONDS: Final = 600.0  # a file is left alone this long at most: the other process may write to it
_NAME: Final = re.compile(r"([0-9a-f]{32}\.db)(-wal|-shm|-journal)?")
_LOCK_ATTEMPTS: Final = 1000
_LOCK_PAUSE_SECONDS: Final = 0.005
_ZEROS: Final = bytes(64 * 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What has expired."""

    conversations: int = 0
    turns: int = 0
    files: int = 0

    def __add__(self, other: Swept) -> Swept:
        return Swept(
            conversations=self.conversations + other.conversations,
            turns=self.turns + other.turns,
            files=self.files + other.files,
        )


def free_share(folder: Path) -> float:
    """How much of the volume nobody uses, 0 to 1."""
    status = os.statvfs(folder)
    return status.f_bavail / max(1, status.f_blocks)


class Folder:
    """Calls block and come from one thread. MemoryFailed for whatever disk or SQLite cannot do."""

    def __init__(
        self, path: Path, key: bytes, clock: SteadyClock, *, free: Callable[[Path], float] = free_share
    ) -> None:
        self._path = path
        self._key = key
        self._clock = clock
        self._free = free
        self._open: OrderedDict[str, UserFile] = OrderedDict()  # the one used last is last
        self._due: dict[str, float] = {}  # when a file is to be looked at

    def prepare(self, marker: str) -> None:
        """Make the folder, and prove that what is deleted in it is gone; `marker` is random."""
        try:
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise _failed("make", error) from error
        with self._locked():
            self._prove(self._path / "self-test.db", marker)

    @contextmanager
    def file(self, subject: str, *, make: bool = False, writes: bool = False) -> Iterator[UserFile]:
        """The user's file, for one call; Problem(NOT_FOUND) if there is none and `make` is not set."""
        name = self._name(subject)
        with self._locked():
            if writes and self._free(self._path) < LEAST_FREE:
                raise MemoryFailed("no-room")
            file = self._opened(name, make=make)
            if file is None:
                raise Problem(Slug.NOT_FOUND)
            try:
                yield file
            finally:
                # The file may be as it was or not: what is due in it is found out by the next sweep.
                self._due.pop(name, None)

    def erased(self, subject: str, file: UserFile) -> None:
        """After a deletion, within `file`: nothing of it is left on disk, nor an empty file."""
        self._settle(self._name(subject), file)

    def erase(self, subject: str) -> None:
        """All that is one user's."""
        with self._locked():
            self._scrub(self._name(subject))

    def erase_all(self) -> int:
        """Every user's; how many files there were."""
        with self._locked():
            names = self._names()
            for name in names:
                self._scrub(name)
            return len(names)

    def due(self) -> list[str]:
        """The files in which something may have expired."""
        now = self._clock()
        with self._locked():
            names = self._names()
        self._due = {name: at for name, at in self._due.items() if name in names}
        return [name for name in names if self._due.get(name, now) <= now]

    def sweep(self, name: str) -> Swept:
        """Take what has expired out of one file; a file that cannot be read is taken away whole."""
        with self._locked():
            try:
                file = self._opened(name, make=False)
                if file is None:
                    self._scrub(name)  # a log without its file
                    return Swept(files=1)
                conversations, turns = file.expire(self._clock())
                gone = self._settle(name, file)
                return Swept(conversations=conversations, turns=turns, files=int(gone))
            except (apsw.CorruptError, apsw.NotADBError):
                self._scrub(name)
                return Swept(files=1)

    def close(self) -> None:
        """Files stay."""
        with self._locked():
            while self._open:
                self._open.popitem()[1].close()

    def _name(self, subject: str) -> str:
        if not subject:
            raise ValueError("a user must have a name")
        return hmac.digest(self._key, subject.encode(), "sha256").hex()[:32] + ".db"

    def _names(self) -> set[str]:
        """Files of users, and those of which only a log is left."""
        matches = (_NAME.fullmatch(path.name) for path in self._path.iterdir())
        return {match[1] for match in matches if match}

    def _opened(self, name: str, *, make: bool) -> UserFile | None:
        path = self._path / name
        try:
            found: tuple[int, int] | None = identity(path.stat())
        except FileNotFoundError:
            found = None
        file = self._open.pop(name, None)
        if file is not None and file.identity != found:
            file.close()  # SQLite sees that the file is not the one at its name, and touches nothing there
            file = None
        if file is None:
            if found is None and not make:
                return None
            if len(self._open) >= MAX_OPEN:
                self._open.popitem(last=False)[1].close()
            file = UserFile(path)
            self._clock.not_before(file.used_at())
        self._open[name] = file
        return file

    def _settle(self, name: str, file: UserFile) -> bool:
        """Make what was deleted gone from the disk; True if that was all, and the file is gone."""
        if not file.clean():
            raise MemoryFailed("log-in-use")
        expiry = file.next_expiry()
        if expiry is None:
            self._scrub(name)
            return True
        self._due[name] = min(expiry, self._clock() + VISIT_SECONDS)
        return False

    def _scrub(self, name: str) -> None:
        file = self._open.pop(name, None)
        if file is not None:
            with suppress(apsw.Error):  # of a file that is broken
                file.abandon()
        for path in parts(self._path / name):
            with suppress(FileNotFoundError):
                _overwrite(path)
                path.unlink()
        self._due.pop(name, None)

    def _prove(self, path: Path, marker: str) -> None:
        """A positive control first: the marker must be there to be seen before it is deleted."""
        self._scrub(path.name)
        file = UserFile(path)
        self._open[path.name] = file
        for handle in ("stays", "goes"):
            file.create(
                Conversation(handle=handle, created_at=1.0, expires_at=3.0, turn_ttl_seconds=None, labels={})
            )
        for size in (1, 100, 1000):  # within a page, and on pages of its own
            file.append("goes", [{"content": marker * size}], 2.0)
            file.append("stays", [{"content": "-" * size}], 2.0)
        before = _holds(path, marker)
        file.delete("goes")
        cleaned = file.clean()
        after = _holds(path, marker)
        self._scrub(path.name)
        if not before or not cleaned or after:
            raise MemoryFailed("deleted-text-stays-on-disk")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            descriptor = os.open(self._path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _failed("lock", error) from error
        try:
            _lock(descriptor)
            yield
        except (apsw.Error, OSError) as error:
            if isinstance(error, apsw.CorruptError | apsw.NotADBError):
                raise MemoryFailed("file-corrupt") from error
            raise _failed("use", error) from error
        finally:
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Not for ever: a process that was stopped while it held the lock must not stop this one."""
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return
    raise MemoryFailed("lock-held")


def _overwrite(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        left = os.fstat(file.fileno()).st_size
        while left > 0:
            left -= file.write(_ZEROS[: min(left, len(_ZEROS))]) or 0
        os.fsync(file.fileno())


def _holds(path: Path, text: str) -> bool:
    data = (part.read_bytes() for part in parts(path) if part.exists())
    return any(text.encode() in found for found in data)


def _failed(verb: str, error: Exception) -> MemoryFailed:
    return MemoryFailed(f"{verb}-{type(error).__name__}")
