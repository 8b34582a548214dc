"""Real gateway processes, killed and starved: no call without its begin, nothing lost, one chain."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from support.audit_files import ledger, records, report

ROOT = Path(__file__).parents[4]
NOW = 1_800_000_000.0


def _start(folder: Path, process: str, *arguments: str) -> subprocess.Popen[bytes]:
    sources = ("operator", "sandbox-image/src", "tests")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(str(ROOT / s) for s in sources)}
    script = ROOT / "tests" / "support" / "audit_load.py"
    return subprocess.Popen(
        [sys.executable, str(script), str(folder), process, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
    )


def _output(child: subprocess.Popen[bytes]) -> IO[bytes]:
    assert child.stdout is not None
    return child.stdout


def _words(data: bytes, first: str) -> list[str]:
    """What followed `first`, of whole lines."""
    whole = data[: data.rfind(b"\n") + 1].decode().splitlines()
    return [line.split()[1] for line in whole if line.split()[0] == first]


def _begun(folder: Path) -> set[str]:
    return {record["rid"] for record in records(folder) if record["phase"] == "begin"}


def test_a_killed_gateway_has_every_call_on_record(tmp_path: Path) -> None:
    """A call that an upstream saw and the log does not is exactly what the log is there to exclude."""
    child = _start(tmp_path, "gateway-a.1", "16")
    with child:
        seen = b"".join(_output(child).readline() for _ in range(600))
        child.kill()
        seen += _output(child).read()

    called = set(_words(seen, "call"))
    assert 200 < len(called)
    assert set() == called - _begun(tmp_path)
    ledger(tmp_path, "gateway-a.2").append([], NOW, sign=True)
    assert 0 == report(tmp_path).open_calls


def test_two_gateways_under_load_write_one_chain(tmp_path: Path) -> None:
    """A rolling update at full speed, ended by two kills."""
    with ExitStack() as stack:
        children = [stack.enter_context(_start(tmp_path, f"gateway-{name}.1", "8")) for name in "ab"]
        seen = [b"".join(_output(child).readline() for _ in range(400)) for child in children]
        for number, child in enumerate(children):
            child.kill()
            seen[number] += _output(child).read()

    called = {word for each in seen for word in _words(each, "call")}
    assert set() == called - _begun(tmp_path)
    ledger(tmp_path, "gateway-c.1").append([], NOW, sign=True)
    said = report(tmp_path)
    assert (0, said.seq - 1) == (said.open_calls, said.signed_seq)
    assert {"gateway-a.1", "gateway-b.1", "gateway-c.1"} == {record["gw"] for record in records(tmp_path)}


def test_a_full_disk_refuses_work_and_loses_nothing(tmp_path: Path) -> None:
    """Going on without a record, or dropping one, would turn a full disk into a way around the log."""
    with _start(tmp_path, "gateway-a.1", "8", "50000") as child:
        seen = _output(child).read()
        status = child.wait()

    found = records(tmp_path)
    begun = {record["seq"]: record["rid"] for record in found if record["phase"] == "begin"}
    ended = [record["ref"] for record in found if record["phase"] == "end"]
    assert (0, ["audit-unavailable"], ["20"]) == (
        status,
        _words(seen, "refused"),
        _words(seen, "refused-again"),
    )
    assert seen.endswith(b"works-again\n")
    assert set() == set(_words(seen, "call")) - set(begun.values())
    assert sorted(begun) == sorted(ended)  # also of the call that was open while nothing could be written
    assert ["write-failed"] == [record["why"] for record in records(tmp_path, ev="recovery")]
    report(tmp_path)
