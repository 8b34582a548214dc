"""The chain on disk: one log whoever writes it, repaired in the open, never continued over damage."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.audit_files import begin, end, identity, ledger, lines, point, records, report
from support.audit_logs import KEY, OTHER_KEY, UID

from bulkhead_sandbox.gateway.audit.ledger import Damaged, Identity, Ledger
from bulkhead_wire.audit import CHECKPOINT_RECORDS
from bulkhead_wire.audit_chain import Anchor, Broken, Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkhead_wire.keys import SigningKey

NOW = 1_800_000_000.0


def test_a_log_begins_with_whose_it_is(tmp_path: Path) -> None:
    """A log that does not say so can be passed for a neighbour's."""
    ledger(tmp_path).append([point()], NOW, sign=True)

    said = report(tmp_path)
    assert (UID, "acme", KEY.kid) == (said.workspace_uid, said.tenant, said.kid)
    assert ["genesis", "checkpoint", "config", "security", "checkpoint"] == [
        record["ev"] for record in records(tmp_path)
    ]


def test_nobody_else_can_read_the_files(tmp_path: Path) -> None:
    """The volume is shared by all that runs in the pod."""
    folder = tmp_path / "audit"
    ledger(folder).append([point()], NOW, sign=True)

    assert 0o700 == folder.stat().st_mode & 0o777
    assert {0o600} == {path.stat().st_mode & 0o777 for path in folder.glob("*.jsonl")}


def test_a_log_is_continued_after_a_restart(tmp_path: Path) -> None:
    """A new log at each start would be a cut at each start."""
    first = ledger(tmp_path)
    first.append([point()] * 5, NOW, sign=False)
    first.close()
    before = list(lines(tmp_path))

    ledger(tmp_path, "gateway-a.2").append([point()], NOW, sign=True)

    assert before == list(lines(tmp_path))[: len(before)]
    assert report(tmp_path).seq > len(before)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 70), st.booleans()), max_size=12))
def test_two_processes_write_one_chain(turns: list[tuple[int, int, bool]]) -> None:
    """In a rolling update both gateways serve; two chains would be a fork, and every update an alarm."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        writers = [ledger(folder, f"gateway.{number}", segment_bytes=8192) for number in range(2)]
        told = []
        for who, count, sign in turns:
            told += writers[who].append([point()] * count, NOW, sign=sign)
        for writer in writers:
            writer.append([point()], NOW, sign=True)
            writer.close()

        found = records(folder, ev="security")
        assert sum(count for _, count, _ in turns) + 2 == len(found)
        assert told == [record["seq"] for record in found[: len(told)]]
        assert report(folder).signed_seq is not None


def test_no_256_records_are_without_a_checkpoint(tmp_path: Path) -> None:
    """The verifier refuses such a log, as it must; across files and restarts too."""
    for process in range(3):
        writer = ledger(tmp_path, f"gateway.{process}", segment_bytes=60_000)
        for _ in range(9):
            writer.append([point()] * 60, NOW, sign=False)
        writer.close()

    said = report(tmp_path)
    assert 2 <= len(list(tmp_path.glob("*.jsonl")))
    assert said.signed_seq is not None
    assert said.seq - said.signed_seq < CHECKPOINT_RECORDS


def test_files_are_linked(tmp_path: Path) -> None:
    """Without the link, a whole file could be taken away."""
    writer = ledger(tmp_path, segment_bytes=4096)
    for _ in range(40):
        writer.append([point()], NOW, sign=False)
    files = sorted(tmp_path.glob("*.jsonl"))
    second = json.loads(files[1].read_bytes().splitlines()[0])
    assert ("segment", int(files[1].stem)) == (second["ev"], second["seq"])

    files[1].unlink()

    with pytest.raises(Broken) as caught:
        report(tmp_path)
    assert (int(files[1].stem), Reason.SEQUENCE) == (caught.value.seq, caught.value.reason)


@given(st.data())
@settings(max_examples=30)
def test_a_torn_line_is_cut_and_told_of(data: st.DataObject) -> None:
    """A power cut in the middle of a write: the rest was promised to nobody, and its loss is on record."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = ledger(folder)
        first.append([point()] * 3, NOW, sign=True)
        kept = list(lines(folder))
        file = next(folder.glob("*.jsonl"))
        count = data.draw(st.integers(1, len(kept[-1]) - 1))
        with file.open("ab") as torn:
            torn.write(kept[-1][:count])

        ledger(folder, "gateway-a.2").append([point()], NOW, sign=True)

        assert kept == list(lines(folder))[: len(kept)]
        assert [("torn-line", {"cut": count})] == [
            (record["why"], record["len"]) for record in records(folder, ev="recovery")
        ]
        report(folder)


def test_calls_of_a_dead_process_are_closed_as_orphans(tmp_path: Path) -> None:
    """A begin without an end looks as if the call still ran."""
    first = ledger(tmp_path, segment_bytes=2000)
    seqs = first.append([begin("chat"), begin("tool"), begin("tool")], NOW, sign=False)
    first.append([end(seqs[1])], NOW, sign=False)
    for _ in range(10):
        first.append([point()], NOW, sign=False)
    os.close(first._presence._fd or -1)  # what the kernel does when a process dies

    ledger(tmp_path, "gateway-a.2").append([], NOW, sign=True)

    ends = [record for record in records(tmp_path) if record["phase"] == "end" and "why" in record]
    assert [("chat", seqs[0], "orphan"), ("tool", seqs[2], "orphan")] == [
        (record["ev"], record["ref"], record["why"]) for record in ends
    ]
    assert 0 == report(tmp_path).open_calls


def test_calls_of_a_living_process_are_left_alone(tmp_path: Path) -> None:
    """In a rolling update the old gateway still works on what it began."""
    first = ledger(tmp_path)
    first.append([begin()], NOW, sign=False)

    ledger(tmp_path, "gateway-b.1").append([], NOW, sign=True)

    assert 1 == report(tmp_path).open_calls


def test_orphans_are_closed_once(tmp_path: Path) -> None:
    """A second end for one begin would be a call that nobody made."""
    first = ledger(tmp_path)
    first.append([begin()], NOW, sign=False)
    os.close(first._presence._fd or -1)
    for number in range(3):
        later = ledger(tmp_path, f"gateway-b.{number}")
        later.append([], NOW, sign=True)
        later.close()

    assert 1 == len([record for record in records(tmp_path) if record.get("why") == "orphan"])
    assert [] == list((tmp_path / "processes").iterdir())  # nor is there anything left to search for


def _cut(folder: Path) -> None:
    file = max(folder.glob("*.jsonl"))
    os.truncate(file, sum(map(len, file.read_bytes().splitlines(keepends=True)[:-3])))


def _replace(folder: Path) -> None:
    file = max(folder.glob("*.jsonl"))
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)


def _remove(folder: Path) -> None:
    for file in folder.glob("*.jsonl"):
        file.unlink()


def _add_foreign(folder: Path) -> None:
    with max(folder.glob("*.jsonl")).open("ab") as file:
        file.write(b'{"forged":true}\n')


@pytest.mark.parametrize("damage", [_cut, _replace, _remove, _add_foreign])
def test_a_log_damaged_under_a_running_gateway_is_not_continued(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """Appending would give the cut a signature; refusing keeps the evidence and makes somebody look."""
    writer = ledger(tmp_path)
    writer.append([point()] * 8, NOW, sign=True)
    assert writer.head(NOW).intact
    damage(tmp_path)
    left = list(lines(tmp_path))

    for _ in range(2):
        with pytest.raises(Damaged):
            writer.append([point()], NOW, sign=True)

    assert left == list(lines(tmp_path))
    assert not writer.head(NOW).intact


def test_the_head_of_a_cut_log_is_what_is_on_disk(tmp_path: Path) -> None:
    """The operator compares it with what it saw: told from memory, a cut would never show."""
    writer = ledger(tmp_path)
    writer.append([point()] * 8, NOW, sign=True)
    seen = writer.head(NOW)
    _cut(tmp_path)

    told = writer.head(NOW)

    assert (seen.seq - 3, records(tmp_path)[-1]["hash"]) == (told.seq, told.head)
    assert told.checkpoint.is_signed_by(KEY.public)
    with pytest.raises(Broken, match="before a record that was seen"):
        report(tmp_path, Anchor(seq=seen.seq, head=seen.head))


def test_the_head_tells_what_the_other_process_wrote(tmp_path: Path) -> None:
    """Answered from memory, a rolling update would look like a regress."""
    first, second = ledger(tmp_path), ledger(tmp_path, "gateway-b.1")
    first.append([point()], NOW, sign=True)
    second.append([point()] * 5, NOW, sign=True)

    told = first.head(NOW)

    assert (second.seq, True) == (told.seq, told.intact)
    assert told.wire() == {
        "seq": told.seq,
        "head": records(tmp_path)[-1]["hash"],
        "kid": KEY.kid,
        "intact": True,
        "checkpoint": told.checkpoint.wire(),
    }


@pytest.mark.parametrize(
    "other",
    [
        (Identity(workspace_uid="another", tenant="acme", process="p.1"), KEY),
        (identity(), OTHER_KEY),
    ],
    ids=["workspace", "key"],
)
@pytest.mark.parametrize("files", [1, 2])
def test_a_foreign_log_is_not_continued(
    tmp_path: Path, other: tuple[Identity, SigningKey], files: int
) -> None:
    """A volume of another workspace, or keys that were made anew: both need somebody who knows why."""
    first = ledger(tmp_path, segment_bytes=1000)
    for _ in range(files):
        first.append([point()] * 3, NOW, sign=False)
    first.close()

    who, key = other
    with pytest.raises(Damaged):
        Ledger(tmp_path, who, key).append([point()], NOW, sign=False)


def test_a_bad_record_in_the_middle_stops_the_start(tmp_path: Path) -> None:
    """Continuing behind it would bury it."""
    first = ledger(tmp_path)
    first.append([point()] * 4, NOW, sign=True)
    first.close()
    file = next(tmp_path.glob("*.jsonl"))
    file.write_bytes(file.read_bytes().replace(b"canary-leak", b"canary-lead", 1))

    with pytest.raises(Damaged):
        ledger(tmp_path, "gateway-a.2").append([point()], NOW, sign=True)


def test_records_are_given_page_by_page(tmp_path: Path) -> None:
    """A page that leaves one out, or gives one twice, breaks the operator's copy."""
    writer = ledger(tmp_path, segment_bytes=2000)
    for _ in range(20):
        writer.append([point()], NOW, sign=False)
    found: list[bytes] = []
    while page := writer.records(len(found) - 1, 7):
        assert len(page) <= 7
        found += page

    assert list(lines(tmp_path)) == found
    assert [] == writer.records(writer.seq, 10)
    assert [] == writer.records(writer.seq + 100, 10)
