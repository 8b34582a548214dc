"""JSON lines: constant event names, and a closed set of fields.

A field that is not in `Fields` does not pass the type checker, so there is none for a token, an argument, an
output or a header to slip into.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import orjson

from bulkhead_sandbox.clock import rfc3339, wall_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkhead_sandbox.clock import Clock

__all__ = ["Fields", "Log", "bridge_library_logs", "to_stdout"]


class Fields(TypedDict, total=False):
    """Everything that a log line may say besides its time, level and event."""

    client: str  # of the egress: runtime or tool-<name>
    duration_ms: int
    error: str  # a class name, never a message: messages quote what people send
    exit_code: int
    function: str  # an MCP tool name
    host: str  # a syntactically valid host name or address
    library: str
    outcome: str
    port: int
    problem: str  # of our own configuration
    reason: str
    request_id: str
    role: str
    route: str
    status: int
    tool: str
    version: str
    workspace: str
    workspace_uid: str


class Log:
    """Writes one JSON line an event."""

    def __init__(self, write: Callable[[bytes], object], clock: Clock, **bound: Unpack[Fields]) -> None:
        self._write = write
        self._clock = clock
        self._bound = bound

    def bind(self, **fields: Unpack[Fields]) -> Log:
        """A log that says `fields` on every line."""
        bound = self._bound.copy()
        bound.update(fields)
        return Log(self._write, self._clock, **bound)

    def info(self, event: str, **fields: Unpack[Fields]) -> None:
        """A state changed, or work was done."""
        self._line("info", event, fields)

    def warning(self, event: str, **fields: Unpack[Fields]) -> None:
        """Something was refused or is missing, and the program goes on."""
        self._line("warning", event, fields)

    def error(self, event: str, **fields: Unpack[Fields]) -> None:
        """Something failed that should not."""
        self._line("error", event, fields)

    def _line(self, level: str, event: str, fields: Fields) -> None:
        line: dict[str, Any] = {"ts": rfc3339(self._clock()), "level": level, "event": event}
        self._write(orjson.dumps({**line, **self._bound, **fields}, option=orjson.OPT_APPEND_NEWLINE))


def to_stdout(**bound: Unpack[Fields]) -> Log:
    """A log on standard output, each line flushed: a killed process has said all it had to say."""

    def write(line: bytes) -> None:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()

    return Log(write, wall_seconds, **bound)


def bridge_library_logs(log: Log) -> None:
    """What libraries complain of becomes a line with its error class: their text may quote requests."""

    def divert(record: logging.LogRecord) -> bool:
        error = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else record.levelname
        log.warning("library.complained", library=record.name, error=error)
        return False

    handler = logging.Handler()
    handler.addFilter(divert)  # the handler itself never emits
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
