"""One user's conversations in one SQLite file: there is no filter by user that a query could forget."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import apsw
import orjson

from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["MAX_BYTES", "MAX_CONVERSATIONS", "MAX_TURNS", "Conversation", "UserFile"]

MAX_CONVERSATIONS: Final = 16  # of one user
MAX_TURNS: Final = 256  # of one conversation
MAX_BYTES: Final = 512 * 1024  # of one conversation, as JSON
_BUSY_MILLISECONDS: Final = 5000
# PRAGMA user_version: the layout, and whether the file may hold remains of what was deleted.
_CLEAN: Final = 1
_UNCLEAN: Final = 2
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS conversation (
  handle TEXT PRIMARY KEY, created_at REAL NOT NULL, used_at REAL NOT NULL, expires_at REAL NOT NULL,
  turn_ttl INTEGER, labels TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS turn (
  handle TEXT NOT NULL, number INTEGER NOT NULL, expires_at REAL NOT NULL, body BLOB NOT NULL,
  PRIMARY KEY (handle, number)) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """What a user may know of one; times in seconds since 1970."""

    handle: str
    created_at: float
    expires_at: float
    turn_ttl_seconds: int | None  # how long each turn is kept; None: as long as the conversation
    labels: dict[str, str]


class UserFile:
    """Calls block. apsw.Error for whatever SQLite cannot do; Problem(NOT_FOUND) for no such conversation."""

    def __init__(self, path: Path) -> None:
        """Open or make the file, readable by nobody else."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.identity: Final = identity(os.fstat(descriptor))
        os.close(descriptor)
        self._connection = apsw.Connection(str(path))
        self._connection.set_busy_timeout(_BUSY_MILLISECONDS)
        for pragma in (
            "journal_mode = WAL",
            "synchronous = NORMAL",  # the checkpoint that ends an erasure is synced; a lost turn is bearable
            "secure_delete = ON",
            "trusted_schema = OFF",
            "temp_store = MEMORY",
        ):
            self._run(f"PRAGMA {pragma}")
        with self._connection:
            self._connection.execute(_SCHEMA)
            if self._run("PRAGMA user_version") == [(0,)]:
                self._mark(_CLEAN)

    def close(self) -> None:
        """The file stays; the write-ahead log is folded into it."""
        self._connection.close()

    def abandon(self) -> None:
        """Close and leave the log where it is: SQLite would unlink it with all that it holds."""
        self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        self._connection.close()

    def used_at(self) -> float:
        """When anything was last written; 0 for never."""
        return float(self._run("SELECT ifnull(max(used_at), 0) FROM conversation")[0][0])

    def create(self, conversation: Conversation) -> None:
        """Problem(TOO_MANY_CONCURRENT) if the user has too many that go on."""
        now = conversation.created_at
        with self._connection:
            (count,) = self._run("SELECT count(*) FROM conversation WHERE expires_at > ?", now)[0]
            if count >= MAX_CONVERSATIONS:
                raise Problem(Slug.TOO_MANY_CONCURRENT, limit="user-conversations")
            self._run(
                "INSERT INTO conversation VALUES (?, ?, ?, ?, ?, ?)",
                conversation.handle,
                now,
                now,
                conversation.expires_at,
                conversation.turn_ttl_seconds,
                orjson.dumps(conversation.labels).decode(),
            )

    def get(self, handle: str, now: float) -> Conversation:
        """The conversation, if it goes on."""
        rows = self._run(
            "SELECT created_at, expires_at, turn_ttl, labels FROM conversation"
            " WHERE handle = ? AND expires_at > ?",
            handle,
            now,
        )
        if not rows:
            raise Problem(Slug.NOT_FOUND)
        created_at, expires_at, turn_ttl, labels = rows[0]
        return Conversation(
            handle=handle,
            created_at=created_at,
            expires_at=expires_at,
            turn_ttl_seconds=turn_ttl,
            labels=orjson.loads(labels),
        )

    def messages(self, handle: str, now: float) -> list[dict[str, Any]]:
        """Of all turns that have not expired, in their order."""
        self.get(handle, now)
        bodies = self._run(
            "SELECT body FROM turn WHERE handle = ? AND expires_at > ? ORDER BY number", handle, now
        )
        return [message for (body,) in bodies for message in orjson.loads(body)]

    def append(self, handle: str, messages: Sequence[Mapping[str, Any]], now: float) -> int:
        """Add one turn; how many whole turns had to go for it, oldest first."""
        body = orjson.dumps([dict(message) for message in messages])
        if len(body) > MAX_BYTES:
            raise Problem(Slug.CONTEXT_TOO_LARGE)
        with self._connection:
            conversation = self.get(handle, now)
            ttl = conversation.turn_ttl_seconds
            expires_at = conversation.expires_at
            (number,) = self._run("SELECT ifnull(max(number), 0) + 1 FROM turn WHERE handle = ?", handle)[0]
            self._run(
                "INSERT INTO turn VALUES (?, ?, ?, ?)",
                handle,
                number,
                expires_at if ttl is None else min(expires_at, now + ttl),
                body,
            )
            self._run("UPDATE conversation SET used_at = ? WHERE handle = ?", now, handle)
            evicted = self._evict(handle, now)
        return evicted  # noqa: RET504 - apsw's types let a `with` swallow what is raised in it

    def _evict(self, handle: str, now: float) -> int:
        """The oldest of those that had not expired, until the rest is within its bounds."""
        before = self._connection.total_changes()
        self._run("DELETE FROM turn WHERE handle = ? AND expires_at <= ?", handle, now)
        rows = self._run(
            "SELECT number, length(body) FROM turn WHERE handle = ? ORDER BY number DESC", handle
        )
        kept_bytes = kept = 0
        for _, size in rows:
            kept_bytes += size
            if kept == MAX_TURNS or kept_bytes > MAX_BYTES:
                break
            kept += 1
        if kept < len(rows):
            self._run("DELETE FROM turn WHERE handle = ? AND number <= ?", handle, rows[kept][0])
        if self._connection.total_changes() > before:
            self._mark(_UNCLEAN)
        return len(rows) - kept

    def delete(self, handle: str) -> None:
        """The conversation is gone; its remains are until `clean`."""
        with self._connection:
            self._run("DELETE FROM turn WHERE handle = ?", handle)
            self._run("DELETE FROM conversation WHERE handle = ?", handle)
            self._mark(_UNCLEAN)

    def expire(self, now: float) -> tuple[int, int]:
        """Delete what has expired: conversations, turns."""
        with self._connection:
            turns = len(
                self._run(
                    "DELETE FROM turn WHERE expires_at <= ?"
                    " OR handle NOT IN (SELECT handle FROM conversation WHERE expires_at > ?) RETURNING 1",
                    now,
                    now,
                )
            )
            gone = self._run("DELETE FROM conversation WHERE expires_at <= ? RETURNING 1", now)
            if gone or turns:
                self._mark(_UNCLEAN)
        return len(gone), turns

    def next_expiry(self) -> float | None:
        """When the first of it expires; None if there is nothing in it."""
        moment = self._run(
            "SELECT min(expires_at) FROM"
            " (SELECT expires_at FROM conversation UNION ALL SELECT expires_at FROM turn)"
        )[0][0]
        return None if moment is None else float(moment)

    def clean(self) -> bool:
        """Nothing that was deleted is in the file or its log afterwards; False: somebody reads, and it is.

        secure_delete zeroes a record where it is deleted, but not the copies that SQLite left where it moved
        records between pages. VACUUM writes every page anew.
        """
        if self._run("PRAGMA user_version") != [(_CLEAN,)]:
            self._run("VACUUM")
            self._mark(_CLEAN)
        (blocked, _, _) = self._run("PRAGMA wal_checkpoint(TRUNCATE)")[0]
        return not blocked

    def _mark(self, version: int) -> None:
        self._run(f"PRAGMA user_version = {version}")

    def _run(self, statement: str, *values: str | bytes | float | None) -> list[Any]:
        return list(self._connection.execute(statement, values))


def identity(status: os.stat_result) -> tuple[int, int]:
    """Which file it is, whatever its name."""
    return status.st_dev, status.st_ino


def parts(path: Path) -> Iterator[Path]:
    """The files that SQLite makes of one, the log and its index first."""
    for suffix in ("-wal", "-shm", "-journal", ""):
        yield path.with_name(path.name + suffix)
