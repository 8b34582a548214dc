"""Server-sent events, both ways (WHATWG HTML, 9.2.6)."""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

__all__ = ["DONE", "EventTooLarge", "Events", "event"]

DONE: Final = b"data: [DONE]\n\n"
_END: Final = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE_END: Final = re.compile(rb"\r\n|\n|\r")


class EventTooLarge(Exception):
    """More came without an end than one event may have."""


class Events:
    """The data of each event, wherever the network cuts."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Those that `data` completes; EventTooLarge."""
        *whole, self._rest = _END.split(self._rest + data)
        if len(self._rest) > self._most_bytes or any(len(one) > self._most_bytes for one in whole):
            raise EventTooLarge
        return [found for one in whole if (found := _data(one)) is not None]


def _data(one: bytes) -> bytes | None:
    if one.startswith(b"data: ") and b"\n" not in one and b"\r" not in one:  # nearly all there are
        return one[6:]
    lines = [line[5:].removeprefix(b" ") for line in _LINE_END.split(one) if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None


def event(value: Any) -> bytes:
    """`value` as the JSON of one event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"
