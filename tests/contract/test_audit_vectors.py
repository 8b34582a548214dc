"""The audit format of each release, fixed: a log must be readable for as long as somebody keeps it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bulkhead_wire.audit import Checkpoint, sealed
from bulkhead_wire.audit_chain import Anchor, Broken, verify
from bulkhead_wire.keys import SigningKey

VECTORS = [
    json.loads(path.read_text()) for path in sorted(Path(__file__).parent.glob("vectors/audit-*.json"))
]


@pytest.fixture(params=VECTORS, ids=lambda vector: vector["format"].split(".")[0])
def vector(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def _lines(texts: list[str]) -> list[bytes]:
    return [text.encode("ascii") + b"\n" for text in texts]


def test_vectors_are_there() -> None:
    """An empty folder would pass every test below."""
    assert 1 == len(VECTORS)


def test_the_log_is_intact(vector: dict[str, Any]) -> None:
    """A later verifier must not call an old archive broken."""
    report = verify(_lines(vector["lines"]), anchor=Anchor(**vector["anchor"]))

    assert vector["anchor"] == {
        "seq": report.seq,
        "head": report.head,
        "kid": report.kid,
        "workspace_uid": report.workspace_uid,
    }


def test_the_same_records_give_the_same_lines(vector: dict[str, Any]) -> None:
    """A gateway that writes other bytes for the same record writes another format."""
    key = SigningKey.from_seed(bytes.fromhex(vector["seed_hex"]))
    for text in vector["lines"]:
        record = json.loads(text)
        fields = {name: value for name, value in record.items() if name not in {"v", "prev", "hash"}}
        if record["ev"] == "checkpoint":
            signed = Checkpoint.signed(
                key, origin=record["ws"], seq=record["seq"] - 1, head=record["prev"], time=record["ts"]
            )
            fields |= {"kid": signed.kid, "sig": signed.sig}
        line, digest = sealed(record["prev"], fields)
        assert (f"{text}\n".encode("ascii"), record["hash"]) == (line, digest)


def test_each_broken_log_is_refused_for_its_reason(vector: dict[str, Any]) -> None:
    """A rule lost on the way to a new release."""
    found = []
    for broken in vector["broken"]:
        with pytest.raises(Broken) as caught:
            verify(_lines(broken["lines"]), anchor=Anchor(**vector["anchor"]))
        found.append((caught.value.seq, caught.value.reason.value))

    assert [(broken["seq"], broken["why"]) for broken in vector["broken"]] == found
