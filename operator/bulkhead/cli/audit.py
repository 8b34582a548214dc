"""`bulkhead audit verify`: whether an audit log is whole, found out offline, in memory that does not grow."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING, Any, Final

from bulkhead.cli.problems import CannotTell, Refused
from bulkhead_wire.audit import MAX_LINE_BYTES
from bulkhead_wire.audit_chain import Anchor, Broken, verify

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bulkhead_wire.audit_chain import Report

__all__ = ["check"]

_STDIN: Final = "-"
_MAX_ANCHOR_BYTES: Final = 1024 * 1024  # a whole workspace is less


def check(files: Sequence[str], anchor_file: str | None, stdin: IO[bytes]) -> list[str]:
    """What to say of an intact log; Refused names the first bad record, CannotTell what cannot be read."""
    anchor = None if anchor_file is None else _anchor(_read(anchor_file, stdin))
    if anchor_file == _STDIN and _STDIN in files:
        raise CannotTell("standard input can be the log or the anchor, not both")
    try:
        return _said(verify(_lines(files, stdin), anchor=anchor), anchor)
    except Broken as broken:
        raise Refused(str(broken)) from broken


def _lines(files: Sequence[str], stdin: IO[bytes]) -> Iterator[bytes]:
    """Every line, never more than one in memory, and of an endless one only the beginning."""
    for name in files:
        try:
            if name == _STDIN:
                yield from iter(lambda: stdin.readline(MAX_LINE_BYTES + 1), b"")
            else:
                with open(name, "rb") as file:  # noqa: PTH123 - as the user wrote it
                    yield from iter(lambda: file.readline(MAX_LINE_BYTES + 1), b"")
        except OSError as error:
            raise CannotTell(f"read {name}: {error.strerror}") from error


def _read(name: str, stdin: IO[bytes]) -> bytes:
    try:
        if name == _STDIN:
            return stdin.read(_MAX_ANCHOR_BYTES)
        with open(name, "rb") as file:  # noqa: PTH123 - as the user wrote it
            return file.read(_MAX_ANCHOR_BYTES)
    except OSError as error:
        raise CannotTell(f"read --anchor {name}: {error.strerror}") from error


def _anchor(text: bytes) -> Anchor:
    """From a workspace, its status.audit, or what the gateway says of its head."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CannotTell("--anchor: not JSON") from error
    found, uid = given, None
    if isinstance(given, dict) and isinstance(given.get("status"), dict):
        found, uid = given["status"].get("audit"), (given.get("metadata") or {}).get("uid")
    if not isinstance(found, dict) or type(found.get("seq")) is not int or not _is_text(found.get("head")):
        raise CannotTell("--anchor: neither a workspace with status.audit nor an object with seq and head")
    kid = found.get("keyID", found.get("kid"))
    return Anchor(
        seq=found["seq"],
        head=found["head"],
        kid=kid if _is_text(kid) else None,
        workspace_uid=uid if _is_text(uid) else None,
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _said(report: Report, anchor: Anchor | None) -> list[str]:
    # The checkpoint itself is the record behind the last one that it signs.
    unsigned = report.seq + 1 if report.signed_seq is None else report.seq - report.signed_seq - 1
    lines = [
        f"intact: records 0 to {report.seq} of tenant {report.tenant}, workspace {report.workspace_uid}",
        f"signed by key {report.kid}; {unsigned} records after the last checkpoint are not signed yet",
    ]
    if report.open_calls:
        lines.append(f"{report.open_calls} calls have begun and not ended")
    if anchor is None:
        lines.append(
            "without --anchor, records cut off at the end do not show, nor does a log signed with another key"
        )
    else:
        lines.append(f"record {anchor.seq} is the one that was seen")
    return lines
