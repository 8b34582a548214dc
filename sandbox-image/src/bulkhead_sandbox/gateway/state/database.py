"""The file: SQLite in WAL mode, shared by two processes for the seconds of a rolling update.

Every call blocks and belongs on a thread of its own. Amounts are added in SQL, so that what two processes
count is the sum of both, and each learns the sum with its answer.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import apsw

from bulkhead_sandbox.gateway.state.seams import StateFailed

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Changes", "Database", "Seen", "Stored"]

Seen = tuple[bytes, int]  # digest, expires_at

_BUSY_MILLISECONDS: Final = 5000
_VERSION: Final = 1
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS counter (
  day TEXT, key TEXT, amount INTEGER NOT NULL, PRIMARY KEY (day, key)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (
  token_id TEXT PRIMARY KEY, digest BLOB NOT NULL, expires_at INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS epoch (
  one INTEGER PRIMARY KEY CHECK (one = 1), value INTEGER NOT NULL) STRICT;
"""


@dataclass(slots=True)
class Changes:
    """What is not in the file yet."""

    counters: dict[tuple[str, str], int] = field(default_factory=dict)
    seen: dict[str, Seen] = field(default_factory=dict)
    epoch: int | None = None

    def __bool__(self) -> bool:
        return bool(self.counters or self.seen) or self.epoch is not None


@dataclass(slots=True)
class Stored:
    """What the file holds, of everything or of what was changed."""

    counters: dict[tuple[str, str], int]
    seen: dict[str, Seen]
    epoch: int


class Database:
    """Any failure of SQLite is StateFailed."""

    def __init__(self, path: Path) -> None:
        """Open or make the file, readable by nobody else."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = apsw.Connection(str(path))
            self._connection.set_busy_timeout(_BUSY_MILLISECONDS)
            self._run("PRAGMA journal_mode = WAL")
            self._run("PRAGMA synchronous = FULL")  # an epoch that was raised stays raised
            self._run("PRAGMA trusted_schema = OFF")
            self._prepare()
        except (apsw.Error, OSError) as error:
            raise _failed("open", error) from error

    def load(self, today: str, oldest_day: str, kept_from: int, now: float) -> Stored:
        """Today's amounts, earlier ones above `kept_from`, tokens still in force; drops what is older."""
        try:
            with _Transaction(self._connection):
                self._run("DELETE FROM counter WHERE day < ?", oldest_day)
                self._run("DELETE FROM seen WHERE expires_at < ?", int(now))
            amounts = self._run(
                "SELECT day, key, amount FROM counter WHERE day >= ? OR amount > ?", today, kept_from
            )
            seen = self._run("SELECT token_id, digest, expires_at FROM seen")
            return Stored(
                counters={(day, key): amount for day, key, amount in amounts},
                seen={token_id: (digest, expires_at) for token_id, digest, expires_at in seen},
                epoch=self._epoch(),
            )
        except apsw.Error as error:
            raise _failed("read", error) from error

    def write(self, changes: Changes, expired_before: float | None = None) -> Stored:
        """All of `changes` or none of it; returns what the file says of each of them now."""
        try:
            with _Transaction(self._connection):
                counters = {
                    (day, key): self._run(
                        "INSERT INTO counter VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
                        " SET amount = amount + excluded.amount RETURNING amount",
                        day,
                        key,
                        amount,
                    )[0][0]
                    for (day, key), amount in changes.counters.items()
                }
                seen = {
                    token_id: self._run(
                        "INSERT INTO seen VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
                        " SET expires_at = max(expires_at, excluded.expires_at) RETURNING digest, expires_at",
                        token_id,
                        *one,
                    )[0]
                    for token_id, one in changes.seen.items()
                }
                if changes.epoch is not None:
                    self._run(
                        "INSERT INTO epoch VALUES (1, ?) ON CONFLICT DO UPDATE"
                        " SET value = max(value, excluded.value)",
                        changes.epoch,
                    )
                if expired_before is not None:
                    self._run("DELETE FROM seen WHERE expires_at < ?", int(expired_before))
            return Stored(counters=counters, seen=seen, epoch=self._epoch())
        except apsw.Error as error:
            raise _failed("write", error) from error

    def close(self) -> None:
        """Give the file up; the last process to do so folds the log into it."""
        self._connection.close()

    def _prepare(self) -> None:
        with _Transaction(self._connection):
            (found,) = self._run("PRAGMA user_version")[0]
            if found > _VERSION:
                raise StateFailed(f"open state: version {found} is newer than {_VERSION}")
            self._connection.execute(_SCHEMA)
            self._run(f"PRAGMA user_version = {_VERSION}")

    def _epoch(self) -> int:
        rows = self._run("SELECT value FROM epoch")
        return int(rows[0][0]) if rows else 0

    def _run(self, statement: str, *values: str | bytes | int) -> list[Any]:
        return list(self._connection.execute(statement, values))


class _Transaction:
    """IMMEDIATE: waits for the other process at its start, where SQLite can wait, and not in the middle."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._connection.execute("COMMIT")
        elif self._connection.in_transaction:  # a full disk has ended it already
            self._connection.execute("ROLLBACK")


def _failed(verb: str, error: Exception) -> StateFailed:
    # The class only: SQLite's text quotes statements.
    return StateFailed(f"{verb} state: {type(error).__name__}; nothing is admitted until it works")
