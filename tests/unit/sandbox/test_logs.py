from __future__ import annotations

import logging

import orjson
import pytest

from bulkhead_sandbox.logs import Log, bridge_library_logs

from .conftest import NOW


def test_line_is_json_with_time_level_event_and_fields() -> None:
    """No collector could read it."""
    lines: list[bytes] = []
    Log(lines.append, lambda: NOW, role="gateway").bind(tool="x").warning("tool.failed", reason="y")
    assert orjson.loads(lines[0]) == {
        "ts": "2027-01-15T08:00:00.000Z",
        "level": "warning",
        "event": "tool.failed",
        "role": "gateway",
        "tool": "x",
        "reason": "y",
    }
    assert lines[0].endswith(b"}\n")


def test_value_cannot_begin_a_line_of_its_own() -> None:
    """A host name with a newline would forge an entry."""
    lines: list[bytes] = []
    Log(lines.append, lambda: NOW).info("x", host='a\n{"event": "forged"}')
    assert lines[0].count(b"\n") == 1


@pytest.fixture
def root_logger() -> object:
    root, server = logging.getLogger(), logging.getLogger("aiohttp.server")
    before = root.handlers[:], root.level, server.level
    server.setLevel(logging.NOTSET)  # tests of the operator run in this process too, and it silences this one
    yield root
    root.handlers[:], root.level, server.level = before


def test_libraries_complaints_lose_their_words(root_logger: object) -> None:
    """The HTTP library quotes requests, with their headers, when it reports an error."""
    lines: list[bytes] = []
    bridge_library_logs(Log(lines.append, lambda: NOW))
    error = ValueError("planted")
    logging.getLogger("aiohttp.server").error("planted %s", "planted", exc_info=error)
    logging.getLogger("x").info("not even this")
    assert [orjson.loads(line)["library"] for line in lines] == ["aiohttp.server"]
    assert orjson.loads(lines[0])["error"] == "ValueError"
    assert b"planted" not in b"".join(lines)
