"""Audit records: one canonical form, a closed set of members, signatures over all that came before."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st
from support.audit_logs import KEY, OTHER_KEY, TIME, UID, LogMaker

from bulkhead_wire.audit import MAX_LINE_BYTES, NO_RECORD, Checkpoint, canonical, fault, record_hash, sealed

TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=128)
INTEGER = st.integers(0, 2**53 - 1)
NAME = st.from_regex(r"[a-z][a-z_]{0,31}", fullmatch=True)
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "rid": TEXT,
    "sub": TEXT,
    "sid": TEXT,
    "jti": TEXT,
    "model": TEXT,
    "scope": TEXT,
    "act": st.lists(TEXT, min_size=1, max_size=4),
    "trace": st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    "why": st.from_regex(r"[a-z][a-z0-9-]{0,63}", fullmatch=True),
    "sev": st.sampled_from(["info", "low", "medium", "high", "critical"]),
    "target": st.dictionaries(NAME, TEXT | INTEGER, min_size=1, max_size=8),
    "usage": st.dictionaries(NAME, INTEGER | st.booleans(), min_size=1, max_size=8),
    "len": st.dictionaries(NAME, INTEGER, min_size=1, max_size=8),
    "mac": st.dictionaries(NAME, st.from_regex(r"[0-9a-f]{64}", fullmatch=True), min_size=1, max_size=8),
    "ms": INTEGER,
    "n": INTEGER,
}
POINT: dict[str, Any] = {
    "seq": 1, "ts": TIME, "ws": UID, "gw": "gateway-a.1", "ev": "tool", "phase": "point", "out": "allow",
}  # fmt: skip


@given(st.fixed_dictionaries({}, optional=OPTIONAL))
def test_every_record_is_written_as_rfc_8785_says(members: dict[str, Any]) -> None:
    """An auditor with another library would compute another hash, and call a good log forged."""
    line, digest = sealed(NO_RECORD, {**POINT, **members})
    record = json.loads(line)

    assert rfc8785.dumps(record) + b"\n" == line
    assert digest == record["hash"]
    del record["hash"]
    assert rfc8785.dumps(record) == canonical(record)
    assert digest == record_hash(NO_RECORD, record)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt": "hello"}, "a member is not known"),
        ({"ev": "gossip"}, "ev is not as it must be"),
        ({"out": None}, "out is not as it must be"),
        ({"ms": 1.5}, "ms is not as it must be"),
        ({"ms": -1}, "ms is not as it must be"),
        ({"ms": 2**53}, "ms is not as it must be"),
        ({"ms": True}, "ms is not as it must be"),
        ({"v": True}, "v is not as it must be"),
        ({"v": 2}, "v is not as it must be"),
        ({"sub": "a\nb"}, "sub is not as it must be"),
        ({"sub": "ünï"}, "sub is not as it must be"),
        ({"sub": "\x7f"}, "sub is not as it must be"),
        ({"sub": ""}, "sub is not as it must be"),
        ({"sub": "x" * 129}, "sub is not as it must be"),
        ({"act": ["a"] * 5}, "act is not as it must be"),
        ({"act": []}, "act is not as it must be"),
        ({"len": {"in": 0.5}}, "len is not as it must be"),
        ({"len": {"In": 1}}, "len is not as it must be"),
        ({"mac": {"in": "ab"}}, "mac is not as it must be"),
        ({"target": {"tool": ["shell"]}}, "target is not as it must be"),
        ({"target": {}}, "target is not as it must be"),
        ({"why": "No Words"}, "why is not as it must be"),
        ({"ts": "2026-12-01T12:00:00Z"}, "ts is not as it must be"),
        ({"prev": "0" * 63}, "prev is not as it must be"),
        ({"ref": 0}, "ref does not go with this phase"),
        ({"phase": "end"}, "ref does not go with this phase"),
        ({"phase": "end", "ref": 1}, "ref is not an earlier record"),
        ({"sig": "A" * 86}, "sig does not go with this event"),
        ({"ev": "checkpoint"}, "kid does not go with this event"),
        ({"ev": "segment", "phase": "begin"}, "phase does not go with this event"),
        ({"ev": "genesis", "tenant": "t", "kid": "k", "key": "k"}, "seq does not go with this event"),
        ({"seq": 0}, "seq does not go with this event"),
    ],
)
def test_what_is_no_record_has_a_fault(changes: dict[str, Any], said: str) -> None:
    """Floats and foreign text would end the one canonical form; unknown members would carry prompts."""
    record = {"v": 1, **POINT, "prev": NO_RECORD, "hash": NO_RECORD}

    assert fault(record) is None
    assert said == fault({**record, **changes})


@pytest.mark.parametrize("name", ["v", "seq", "ts", "ws", "gw", "ev", "phase", "out", "prev", "hash"])
def test_a_record_lacks_nothing(name: str) -> None:
    """A record without its time or its workspace proves nothing."""
    record = {"v": 1, **POINT, "prev": NO_RECORD, "hash": NO_RECORD}
    del record[name]

    assert f"{name} is missing" == fault(record)


def test_a_fault_never_quotes_the_value() -> None:
    """Faults reach logs, and a value may be anything."""
    with pytest.raises(ValueError, match="no audit record: sub is not as it must be") as caught:
        sealed(NO_RECORD, {**POINT, "sub": "plänted-secret"})

    assert "plänted" not in str(caught.value)


def test_a_line_has_a_bound() -> None:
    """A reader of bounded memory could not read it."""
    wide = {f"{'abcdefgh'[number]}": "x" * 128 for number in range(8)}
    scope = "s" * 4096
    line, _ = sealed(NO_RECORD, {**POINT, "target": wide, "scope": scope})

    assert len(line) < MAX_LINE_BYTES


def test_a_checkpoint_vouches_for_exactly_what_it_says() -> None:
    """A signature that fits another head, time, log or key would let history be exchanged under it."""
    good = Checkpoint.signed(KEY, origin=UID, seq=7, head="a" * 64, time=TIME)
    members = good.wire()

    assert good.is_signed_by(KEY.public)
    assert not good.is_signed_by(OTHER_KEY.public)
    for name, other in {
        "origin": "another",
        "seq": 8,
        "head": "b" * 64,
        "time": TIME.replace("12:", "13:"),
        "kid": OTHER_KEY.kid,
        "sig": "A" * 86,
    }.items():
        assert not Checkpoint(**{**members, name: other}).is_signed_by(KEY.public), name  # type: ignore[arg-type]


def test_the_hash_binds_the_record_to_the_one_before() -> None:
    """Without `prev` in the hash, any record could stand anywhere."""
    one, other = LogMaker(), LogMaker(key=OTHER_KEY)
    one.add(ev="tool")
    other.add(ev="tool")

    assert one.head != other.head
