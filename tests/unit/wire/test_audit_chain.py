"""Verifying a log: everything that anybody does to it shows, and where it begins."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.audit_logs import KEY, OTHER_KEY, UID, LogMaker, log_of

from bulkhead_wire.audit import CHECKPOINT_RECORDS, MAX_LINE_BYTES, NO_RECORD, sealed
from bulkhead_wire.audit_chain import Anchor, Broken, Reason, Verifier, verify

if TYPE_CHECKING:
    from collections.abc import Sequence

LOG = log_of(40)
NEIGHBOUR = log_of(40, "77777777-52f1-4f6e-9a3c-0d6f5f1f7b10", key=OTHER_KEY)
LAST = len(LOG) - 1
PLACES = st.integers(0, LAST)


def _head(lines: Sequence[bytes], seq: int) -> str:
    head: str = json.loads(lines[seq])["hash"]
    return head


ANCHOR = Anchor(seq=LAST, head=_head(LOG, LAST), kid=KEY.kid, workspace_uid=UID)


def _broken(lines: Sequence[bytes], anchor: Anchor | None = ANCHOR) -> tuple[int, Reason]:
    with pytest.raises(Broken) as caught:
        verify(lines, anchor=anchor)
    return caught.value.seq, caught.value.reason


def test_an_unbroken_log_says_whose_it_is() -> None:
    """A verifier that finds nothing in a good log must also have read all of it."""
    report = verify(LOG, anchor=ANCHOR)

    assert (UID, "acme-corp", KEY.kid) == (report.workspace_uid, report.tenant, report.kid)
    assert (LAST, _head(LOG, LAST)) == (report.seq, report.head)
    assert (LAST - 1, 0) == (report.signed_seq, report.open_calls)


@settings(max_examples=1000)
@given(PLACES, st.data())
def test_every_flipped_bit_is_found(place: int, data: st.DataObject) -> None:
    """One bit of one record, any bit: the first bad record is that one."""
    line = bytearray(LOG[place])
    line[data.draw(st.integers(0, len(line) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    # A flipped newline joins two lines, or cuts the last one: still this record.
    seq, _ = _broken(b"".join([*LOG[:place], bytes(line), *LOG[place + 1 :]]).splitlines(keepends=True))

    assert place == seq


@given(PLACES, st.integers(1, 20))
def test_every_dropped_record_is_found(place: int, count: int) -> None:
    """Also at the very end, because the anchor has seen more."""
    seq, _ = _broken([*LOG[:place], *LOG[place + count :]])

    assert place == seq


@given(st.lists(PLACES, min_size=2, max_size=2, unique=True))
def test_every_swap_is_found(places: list[int]) -> None:
    """Order is part of what happened."""
    first, second = sorted(places)
    lines = list(LOG)
    lines[first], lines[second] = lines[second], lines[first]

    seq, _ = _broken(lines)

    assert first == seq


@given(PLACES)
def test_every_truncation_is_found_by_the_anchor(place: int) -> None:
    """Nothing in a cut log itself says that there was more."""
    assert (place, Reason.EMPTY if place == 0 else Reason.CUT_BEFORE_ANCHOR) == _broken(LOG[:place])


@given(st.lists(PLACES, min_size=2, max_size=2))
def test_every_duplicate_is_found(places: list[int]) -> None:
    """A record told twice is a call that was never made."""
    place, behind = sorted(places)

    assert (behind + 1, Reason.SEQUENCE) == _broken([*LOG[: behind + 1], LOG[place], *LOG[behind + 1 :]])


@given(st.integers(1, LAST), st.integers(1, LAST), st.booleans())
def test_every_splice_between_tenants_is_found(place: int, other: int, keep_number: bool) -> None:  # noqa: FBT001
    """A neighbour's record, in its place or in any other, with its own number or with this log's."""
    foreign = NEIGHBOUR[place if keep_number else other]

    seq, reason = _broken([*LOG[:place], foreign, *LOG[place + 1 :]])

    assert place == seq
    assert reason in {Reason.WORKSPACE, Reason.SEQUENCE}


@given(st.integers(1, LAST))
def test_a_neighbours_tail_is_found(place: int) -> None:
    """Two halves that are each intact make no whole."""
    assert (place, Reason.WORKSPACE) == _broken([*LOG[:place], *NEIGHBOUR[place:]])


def test_a_neighbours_whole_log_is_found_by_the_anchor() -> None:
    """It is intact, and somebody else's."""
    assert (0, Reason.WORKSPACE) == _broken(NEIGHBOUR)


def _rechained(lines: Sequence[bytes], first: int) -> list[bytes]:
    """What a forger without the key can do: one record changed, every hash after it computed anew."""
    made = list(lines[:first])
    head = _head(lines, first - 1)
    for seq, line in enumerate(lines[first:], start=first):
        record = json.loads(line)
        fields = {name: value for name, value in record.items() if name not in {"v", "prev", "hash"}}
        if seq == first:
            fields["sub"] = "mallory"
        line, head = sealed(head, fields)  # noqa: PLW2901 - the forged one
        made.append(line)
    return made


@given(st.integers(1, LAST - 1))
def test_a_forger_who_chains_anew_is_stopped_by_the_next_signature(first: int) -> None:
    """The hashes hold no secret: without signatures, anybody with the file could rewrite it."""
    with pytest.raises(Broken) as caught:
        verify(_rechained(LOG, first))

    assert Reason.SIGNATURE == caught.value.reason
    assert first <= caught.value.seq <= first + 17


def test_a_forger_of_the_unsigned_end_is_stopped_by_the_anchor() -> None:
    """The last seconds are not signed yet; what the operator saw of them is."""
    made = LogMaker()
    made.checkpoint()
    made.add(ev="tool", sub="alice")
    anchor = Anchor(seq=2, head=made.head)
    forged = _rechained(made.lines, 2)

    assert 2 == verify(forged).seq
    assert (2, Reason.FORKED) == _broken(forged, anchor)


def test_leaving_the_checkpoints_out_is_found() -> None:
    """Otherwise a forger would just drop every signature."""
    made = LogMaker()
    for _ in range(CHECKPOINT_RECORDS):
        made.add(ev="tool")

    assert (CHECKPOINT_RECORDS - 1, Reason.UNSIGNED) == _broken(made.lines, None)
    assert CHECKPOINT_RECORDS - 2 == verify(made.lines[: CHECKPOINT_RECORDS - 1]).seq


def test_a_log_signed_with_another_key_is_found_by_the_anchor() -> None:
    """A log that was made up from the start is intact in itself."""
    forged = log_of(40, key=OTHER_KEY)

    assert OTHER_KEY.kid == verify(forged).kid
    assert (0, Reason.KEY) == _broken(forged)


def test_a_checkpoint_by_another_key_is_found() -> None:
    """Somebody's valid signature is not the gateway's."""
    made = LogMaker()
    made.checkpoint(key=OTHER_KEY)

    assert (1, Reason.SIGNATURE) == _broken(made.lines, None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", Reason.CUT_LINE),
        (LOG[1][:-1], Reason.CUT_LINE),
        (LOG[1][:50], Reason.CUT_LINE),
        (b"\n", Reason.MALFORMED),
        (b"[]\n", Reason.MALFORMED),
        (b"[" * 10_000 + b"\n", Reason.MALFORMED),
        (b"\xff\xfe\n", Reason.MALFORMED),
        (b'{"a":NaN}\n', Reason.MALFORMED),
        (b'{"seq":' + b"9" * 5000 + b"}\n", Reason.MALFORMED),
        (LOG[1].replace(b'"ev"', b' "ev"'), Reason.MALFORMED),
        (LOG[1].replace(b"{", b'{"seq":1,', 1), Reason.MALFORMED),
        (LOG[1].replace(b"tool", b"\\u0074ool"), Reason.MALFORMED),
        (b" " * MAX_LINE_BYTES + b"\n", Reason.MALFORMED),
        (b"x" * (MAX_LINE_BYTES + 1), Reason.MALFORMED),
    ],
    ids=lambda value: value if isinstance(value, Reason) else str(value[:12]),
)
def test_a_line_in_any_other_form_is_no_record(line: bytes, reason: Reason) -> None:
    """What two readers may read differently can hide something from one of them; and none may crash."""
    assert (1, reason) == _broken([LOG[0], line], None)


@pytest.mark.parametrize("lines", [[], LOG[1:], LOG[:1] * 2], ids=["nothing", "no genesis", "two"])
def test_a_log_begins_once(lines: list[bytes]) -> None:
    """What stood before the first line that is left is anybody's guess."""
    seq, reason = _broken(lines, None)

    assert (len(lines) == 2, True) == (seq == 1, reason in {Reason.EMPTY, Reason.SEQUENCE, Reason.GENESIS})


def test_reading_goes_on_where_it_stopped() -> None:
    """The operator reads a log in pages and keeps two values between them."""
    verifier = Verifier(workspace_uid=UID, key=KEY.public, next_seq=30, prev=_head(LOG, 29))
    for line in LOG[30:]:
        verifier.feed(line)

    assert (LAST, _head(LOG, LAST)) == (verifier.seq, verifier.head)


def test_reading_on_finds_another_history() -> None:
    """A log that was exchanged between two pages is two logs."""
    verifier = Verifier(workspace_uid=UID, key=KEY.public, next_seq=30, prev=_head(LOG, 28))

    with pytest.raises(Broken) as caught:
        verifier.feed(LOG[30])

    assert (30, Reason.CHAIN) == (caught.value.seq, caught.value.reason)


def test_the_middle_can_be_read_on_its_own_word() -> None:
    """A gateway that starts trusts the hash that its last file begins with, and checks the rest."""
    verifier = Verifier(workspace_uid=UID, key=KEY.public, next_seq=30, prev=None)

    assert 30 == verifier.feed(LOG[30])["seq"]


def test_the_middle_cannot_be_read_without_a_key() -> None:
    """Signatures would be passed over in silence."""
    with pytest.raises(ValueError, match="only with the key"):
        Verifier(next_seq=1, prev=NO_RECORD)


def test_begun_calls_without_an_end_are_counted() -> None:
    """A crash in the middle of a call leaves exactly this trace."""
    made = LogMaker()
    made.add(ev="chat", phase="begin")
    made.add(ev="tool", phase="begin")
    made.add(ev="tool", phase="end", ref=2)

    assert 1 == verify(made.lines).open_calls
