"""`bulkhead audit verify`: 0 whole, 1 broken and where, 2 cannot tell; never a crash on what it is given."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.audit_logs import KEY, UID, log_of

from bulkhead.cli import main

if TYPE_CHECKING:
    from pathlib import Path

LOG = log_of(20)
LAST = len(LOG) - 1
HEAD = json.loads(LOG[-1])["hash"]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """The log in two files."""
    paths = [tmp_path / "000000000000000.jsonl", tmp_path / "000000000000012.jsonl"]
    paths[0].write_bytes(b"".join(LOG[:12]))
    paths[1].write_bytes(b"".join(LOG[12:]))
    return [str(path) for path in paths]


def _anchor(tmp_path: Path, given: Any) -> str:
    path = tmp_path / "anchor.json"
    path.write_text(json.dumps(given))
    return str(path)


def test_a_whole_log_says_whose_it_is_and_what_is_not_known(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody who reads `intact` must also read what was not checked."""
    assert 0 == main(["audit", "verify", *files])

    said = capsys.readouterr().out
    assert f"intact: records 0 to {LAST} of tenant acme-corp, workspace {UID}" in said
    assert f"signed by key {KEY.kid}; 8 records after the last checkpoint" in said
    assert "without --anchor" in said


@pytest.mark.parametrize(
    "given",
    [
        {"seq": LAST, "head": HEAD, "checkedAt": "2026-12-01T12:00:00Z", "keyID": KEY.kid},
        {"seq": LAST, "head": HEAD, "kid": KEY.kid, "intact": True, "checkpoint": {}},
        {"metadata": {"uid": UID}, "status": {"audit": {"seq": LAST, "head": HEAD, "keyID": KEY.kid}}},
    ],
    ids=["status.audit", "head", "workspace"],
)
def test_the_anchor_comes_as_it_is_found(
    files: list[str], tmp_path: Path, given: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """An anchor that must be typed by hand is not used."""
    assert 0 == main(["audit", "verify", *files, "--anchor", _anchor(tmp_path, given)])

    assert f"record {LAST} is the one that was seen" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seq": LAST + 3}, f"broken at record {LAST + 1}: the log ends before a record that was seen in it"),
        ({"head": "a" * 64}, f"broken at record {LAST}: another record was seen here"),
        ({"keyID": "other"}, "broken at record 0: the log is signed with another key"),
    ],
)
def test_a_log_that_is_not_the_one_seen_is_broken(
    files: list[str], tmp_path: Path, change: Any, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the anchor knows."""
    anchor = {"seq": LAST, "head": HEAD, "keyID": KEY.kid, **change}

    assert 1 == main(["audit", "verify", *files, "--anchor", _anchor(tmp_path, anchor)])

    assert said in capsys.readouterr().err


def test_files_in_the_wrong_order_are_broken(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """They are one log in one order."""
    assert 1 == main(["audit", "verify", *reversed(files)])

    assert "broken at record 0" in capsys.readouterr().err


def test_a_flipped_bit_is_named_by_its_record(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first question is always: since when?"""
    content = bytearray((tmp_path / "000000000000012.jsonl").read_bytes())
    content[len(LOG[12]) + 40] ^= 1
    (tmp_path / "000000000000012.jsonl").write_bytes(content)

    assert 1 == main(["audit", "verify", *files])

    captured = capsys.readouterr()
    assert "" == captured.out
    assert "broken at record 13: " in captured.err


def test_a_log_can_come_through_a_pipe(tmp_path: Path) -> None:
    """The output of `kubectl exec` need not lie on a disk first."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "from bulkhead.cli import main; raise SystemExit(main())",
            "audit",
            "verify",
            "-",
        ],
        input=b"".join(LOG),
        capture_output=True,
        check=False,
        cwd=tmp_path,
        env={"PYTHONPATH": ":".join(sys.path)},
    )

    assert (0, b"") == (done.returncode, done.stderr)
    assert done.stdout.startswith(b"intact: ")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"[" * 5000,
        b'{"seq": "1", "head": "a"}',
        b'{"status": {"audit": null}}',
        b"\xff",
    ],
)
def test_an_anchor_that_is_none_is_no_answer(
    files: list[str], tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    """Checked against nothing, a cut log would be called intact."""
    path = tmp_path / "anchor.json"
    path.write_bytes(content)

    assert 2 == main(["audit", "verify", *files, "--anchor", str(path)])

    assert "--anchor" in capsys.readouterr().err


def test_a_missing_file_is_no_answer(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Not broken: not read."""
    assert 2 == main(["audit", "verify", files[0], "missing.jsonl"])
    assert 2 == main(["audit", "verify", files[0], "--anchor", "missing.json"])

    assert 2 == capsys.readouterr().err.count("missing")


def test_an_empty_log_is_broken(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything was cut."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"")))

    assert 1 == main(["audit", "verify", "-"])

    assert "there is no record" in capsys.readouterr().err
