"""Files of one session: no name, link or race leads out of its folder.

Every component of a path is opened by itself, relative to the one before, without following links. That is
what openat2(RESOLVE_BENEATH) does in one call, but it also works where gVisor or an old kernel has none.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["MAX_FILE_BYTES", "Entry", "FileMissing", "FileProblem", "Folder", "session_folder"]

MAX_FILE_BYTES: Final = 16 * 1024 * 1024
MAX_ENTRIES: Final = 1000
_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600


class FileProblem(Exception):
    """The file cannot be had; the message is for the caller and names nothing outside its folder."""


class FileMissing(FileProblem):
    """There is no such file."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One name in a folder."""

    name: str
    kind: Literal["file", "folder", "link", "other"]
    size_bytes: int


def session_folder(root: Path, subject: str, session: str) -> Path:
    """The folder of one user's session below `root`, made if need be; its name follows from both alone."""
    digest = hashlib.sha256(f"{subject}\0{session}".encode()).hexdigest()[:32]
    folder = root / digest
    with _explained("the session's folder"):
        folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    return folder


class Folder:
    """A session's files; every path is relative to it, with `/` between names."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, path: str, offset: int, length: int) -> tuple[bytes, int]:
        """At most `length` bytes from `offset` of a regular file, and the file's size."""
        with self._parent(path) as (folder, name), _explained(path):
            # O_NONBLOCK: opening a FIFO must not wait for a writer.
            file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
            with os.fdopen(file, "rb") as opened:
                found = os.fstat(file)
                if not stat.S_ISREG(found.st_mode):
                    raise FileProblem(f"{path}: not a regular file")
                return os.pread(opened.fileno(), length, offset), found.st_size

    def write(self, path: str, data: bytes, *, append: bool) -> int:
        """The file's new size; a reader sees the old content or the new, never a part."""
        with self._parent(path, make=True) as (folder, name), _explained(path):
            before = self._content(path) if append else b""
            if len(before) + len(data) > MAX_FILE_BYTES:
                raise FileProblem(f"{path}: a file holds at most {MAX_FILE_BYTES} bytes")
            draft = f".{os.urandom(8).hex()}.draft"
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                with os.fdopen(os.open(draft, flags, _FILE_MODE, dir_fd=folder), "wb") as opened:
                    opened.write(before + data)
                os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)  # replaces a link, never follows
            except OSError:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(draft, dir_fd=folder)
                raise
            return len(before) + len(data)

    def entries(self, path: str) -> tuple[list[Entry], bool]:
        """The first thousand names in a folder, sorted, and whether there are more."""
        with self._descend(_names(path) if path else []) as folder, _explained(path):
            names = sorted(os.listdir(folder))  # noqa: PTH208 - a folder that is open, not named
            return [_entry(folder, name) for name in names[:MAX_ENTRIES]], len(names) > MAX_ENTRIES

    def delete(self, path: str) -> None:
        """The file, link or folder with all in it is gone; a link's target is left alone."""
        with self._parent(path) as (folder, name), _explained(path):
            if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
                shutil.rmtree(name, dir_fd=folder)  # safe against links where dir_fd works
            else:
                os.unlink(name, dir_fd=folder)

    def _content(self, path: str) -> bytes:
        """What an append starts from; nothing if there is no file yet."""
        try:
            return self.read(path, 0, MAX_FILE_BYTES + 1)[0]
        except FileMissing:
            return b""

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The open folder that holds the last name of `path`, and that name."""
        *folders, name = _names(path)
        with self._descend(folders, make=make) as folder:
            yield folder, name

    @contextmanager
    def _descend(self, names: list[str], *, make: bool = False) -> Iterator[int]:
        with _explained("the session's folder"):
            folder = os.open(self._root, _FOLDER_FLAGS)
        try:
            for name in names:
                with _explained("/".join(names)):
                    if make:
                        with contextlib.suppress(FileExistsError):
                            os.mkdir(name, _FOLDER_MODE, dir_fd=folder)
                    below = os.open(name, _FOLDER_FLAGS, dir_fd=folder)
                os.close(folder)
                folder = below
            yield folder
        finally:
            os.close(folder)


def _names(path: str) -> list[str]:
    """The names in `path`; FileProblem if one is not a plain name."""
    names = path.split("/")
    if "\0" in path or any(name in {"", ".", ".."} for name in names):
        raise FileProblem(f"{path!r}: a path is relative, without empty, . or .. parts")
    return names


def _entry(folder: int, name: str) -> Entry:
    found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    kinds = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
    kind: Literal["file", "folder", "link", "other"] = kinds.get(stat.S_IFMT(found.st_mode), "other")  # type: ignore[assignment]
    return Entry(name, kind, found.st_size)


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """An OSError becomes a FileProblem about `path` alone."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise FileMissing(f"{path}: no such file or folder") from error
        if error.errno == errno.ELOOP:
            raise FileProblem(f"{path}: links are not followed") from error
        raise FileProblem(f"{path}: {error.strerror or 'cannot be used'}") from error
