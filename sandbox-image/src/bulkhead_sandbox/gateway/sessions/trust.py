"""What the operator mounts for us to trust by, public keys and the epoch: either may change at any time."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bulkhead_wire.keys import InvalidKey, Jwks

if TYPE_CHECKING:
    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.logs import Log

__all__ = ["EpochFile", "KeyRing", "WatchedFile"]

_CHECK_SECONDS: Final = 1.0
_EPOCH: Final = re.compile(rb"[0-9]{1,15}")

_Stamp = tuple[int, int, int]


class WatchedFile:
    """A mounted file, read anew when it changes."""

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = Path(path)
        self._clock = clock
        self._stamp: _Stamp | None = None
        self._content: bytes | None = None
        self._checked_at = float("-inf")

    def current(self) -> bytes | None:
        """The content as of at most a second ago, the same object while it is the same; None: unreadable.

        kubelet swaps the `..data` link that the path goes through, so a change shows as another inode.
        """
        now = self._clock()
        if not 0 <= now - self._checked_at < _CHECK_SECONDS:  # also when the clock was set back
            self._checked_at = now
            self._refresh()
        return self._content

    def _refresh(self) -> None:
        stamp = self._stat()
        if stamp is not None and stamp == self._stamp:
            return
        self._stamp = stamp
        content = self._read() if stamp is not None else None
        if content != self._content:
            self._content = content

    def _stat(self) -> _Stamp | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - the plain call on a hot path
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _read(self) -> bytes | None:
        try:
            return self._path.read_bytes()
        except OSError:
            return None


class KeyRing:
    """The public keys in a mounted file; an unreadable file trusts nobody."""

    def __init__(self, path: str, clock: Clock, log: Log) -> None:
        self._file = WatchedFile(path, clock)
        self._log = log
        self._read_from: object = self  # what no file holds
        self._jwks: Jwks | None = None

    def current(self) -> Jwks | None:
        """The keys as of at most a second ago; None: there are none to trust."""
        content = self._file.current()
        if content is not self._read_from:
            self._read_from = content
            self._jwks = self._parse(content)
        return self._jwks

    def _parse(self, content: bytes | None) -> Jwks | None:
        if content is None:
            self._log.error("keys.unreadable")
            return None
        try:
            jwks = Jwks.parse(content)
        except InvalidKey as error:
            self._log.error("keys.invalid", problem=str(error))
            return None
        self._log.info("keys.loaded")
        return jwks


class EpochFile:
    """The revocation epoch in a mounted file: what a gateway starts from; later ones are pushed."""

    def __init__(self, path: str, clock: Clock, log: Log) -> None:
        self._file = WatchedFile(path, clock)
        self._log = log
        self._read_from: object = self
        self._epoch: int | None = None

    def current(self) -> int | None:
        """The epoch as of at most a second ago; None: there is none to hold tokens against."""
        content = self._file.current()
        if content is not self._read_from:
            self._read_from = content
            self._epoch = self._parse(content)
        return self._epoch

    def _parse(self, content: bytes | None) -> int | None:
        if content is None or not _EPOCH.fullmatch(content.strip()):
            self._log.error("epoch.unreadable")
            return None
        return int(content)
