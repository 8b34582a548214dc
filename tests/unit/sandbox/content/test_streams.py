from __future__ import annotations

import base64
from re import _parser  # type: ignore[attr-defined] # the only way to ask a pattern for its width
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkhead_sandbox.gateway.content import Scanner, Tags, UnsafeOutput
from bulkhead_sandbox.gateway.content.canaries import CanaryWatch
from bulkhead_sandbox.gateway.content.scanner import Redactor, beginnings
from bulkhead_sandbox.gateway.content.secrets import MAX_WIDTH, Form, _Pattern, forms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkhead_sandbox.gateway.content import Kind

KNOWN = "live-model-key+with/odd=chars"
OURS = Tags(b"\x01" * 32, "uid-of-ours")
THEIRS = Tags(b"\x02" * 32, "uid-of-theirs")
SCANNER = Scanner(OURS, {"model-key": KNOWN, "twin": "aaaaaaaab"})
FOREIGN = THEIRS.canary("bob", "session-2")
JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEow+/==\n-----END PRIVATE KEY-----"

# Whole secrets and canaries, their beginnings and ends, and what stands between them.
PARTS = [
    FOREIGN,
    FOREIGN.upper(),
    OURS.canary("alice", "session-1"),
    base64.b64encode(f"xy{FOREIGN}".encode()).decode(),
    FOREIGN.encode().hex(),
    "".join(chr(0xE0000 + ord(c)) for c in FOREIGN),
    KNOWN,
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_" + "a" * 36,
    JWT,
    PEM,
]
PIECES = st.one_of(
    st.sampled_from(PARTS),
    st.builds(lambda part, cut: part[:cut], st.sampled_from(PARTS), st.integers(0, 60)),
    st.builds(lambda part, cut: part[cut:], st.sampled_from(PARTS), st.integers(1, 60)),
    st.sampled_from(
        ["bhc", "bh", "eyJ", "-----", "-----BEGIN ", "A", "a" * 12, ".", " ", "\n", "公", "é", "\u200b"]
    ),
    st.text(alphabet="abhc-0123456789efAKIeyJ._ \n=", max_size=40),
    st.text(max_size=20),
)
TEXTS = st.lists(PIECES, max_size=8).map("".join)


def streamed(pieces: Iterable[str]) -> tuple[str, Kind | None]:
    """All that left, and why it ended early if it did."""
    stream = SCANNER.stream("alice")
    out = ""
    try:
        for piece in pieces:
            out += stream.feed(piece)
        return out + stream.finish(), None
    except UnsafeOutput as unsafe:
        return out, unsafe.kind


def whole(text: str) -> tuple[str | None, Kind | None]:
    try:
        return SCANNER.text(text, "alice"), None
    except UnsafeOutput as unsafe:
        return None, unsafe.kind


def cut(text: str, data: st.DataObject) -> list[str]:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(text=TEXTS, data=st.data())
def test_streams_give_what_the_whole_text_gives(text: str, data: st.DataObject) -> None:
    """An upstream that cuts its answer cleverly would get past, or an honest one be garbled."""
    expected, kind = whole(text)
    for pieces in (cut(text, data), list(text)):
        out, found = streamed(pieces)
        assert (found is None) == (kind is None)
        assert expected is None or out == expected


@given(text=TEXTS)
@example("eyJ" + "A" * 1000 + ".")
@example("b" + " " * 1000)
def test_text_without_secrets_comes_out_unchanged(text: str) -> None:
    """Scanning twice changes nothing more: what was let through once is clean."""
    expected, kind = whole(text)
    if kind is None:
        assert expected is not None
        assert whole(expected)[0] == expected


@pytest.mark.parametrize("part", PARTS, ids=range(len(PARTS)))
def test_no_half_of_a_secret_leaves_however_it_is_cut(part: str) -> None:
    """Half a key or canary is as good as a whole one with some patience."""
    text = f"Well, {part}, then."
    for size in (1, 2, 3, 5, 7, 11, 37):
        out, _ = streamed(text[at : at + size] for at in range(0, len(text), size))
        shared = max(length for length in range(len(part)) if part[:length] in out)
        # Of an encoded canary, the first characters say no more than that something is encoded.
        assert shared <= 8


def test_held_back_text_comes_out_at_the_end() -> None:
    """An answer that ends in what looks like a beginning would lose its last words."""
    stream = SCANNER.stream("alice")
    assert stream.feed("see bhc") == ""
    assert stream.feed(" and AKIA") == "see bhc and "
    assert stream.finish() == "AKIA"


def test_ordinary_text_is_held_back_by_a_letter_at_most() -> None:
    """Users would see their answers late."""
    stream = SCANNER.stream("alice")
    sent = got = ""
    for word in ("Hello", " world", ", this", " is all", " there", " is", "."):
        sent += word
        got += stream.feed(word)
        assert len(sent) - len(got) <= 1
    assert got + stream.finish() == sent


def test_stream_stays_shut_after_a_canary() -> None:
    """A caller that goes on reading would get the rest."""
    stream = SCANNER.stream("alice")
    for _ in range(2):
        with pytest.raises(UnsafeOutput):
            stream.feed(f"{FOREIGN} ")
    with pytest.raises(UnsafeOutput):
        stream.feed("harmless")
    with pytest.raises(UnsafeOutput):
        stream.finish()


HOSTILE = {
    "header beginnings": "eyJ",
    "headers": "eyJhbGciOiJFZERTQSJ9.",
    "long header": "eyJ" + "A" * 600,
    "canary beginnings": "bhc",
    "canary hex": "bhc0",
    "cut canaries": FOREIGN[:-3] + "x",
    "hex beginnings": "6268632d",
    "base64 beginnings": "YmhjL",
    "dashes": "-",
    "key beginnings": "-----BEGIN ",
    "key beginnings with labels": "-----BEGIN PRIVATE ",
    "keys": "-----BEGIN PRIVATE KEY-----",
    "github": "ghp_",
    "twins of a known secret": "a",
    "tags": "\U000e0062\U000e0068\U000e0063",
    "one long number": "0",
}


@pytest.mark.parametrize(
    "form", [form for form in forms({}) if isinstance(form, _Pattern)], ids=lambda f: f.needle
)
def test_no_form_looks_further_than_its_bound(form: _Pattern) -> None:
    """Quadratic time hides in an unbounded look ahead."""
    least, most = _parser.parse(form.pattern.pattern).getwidth()
    assert 0 < least <= most <= MAX_WIDTH


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_text_is_passed_once_by_each_form(unit: str) -> None:
    """One answer would stop every other user's: text made of beginnings must not be looked through again."""
    passed = 0

    class Counted:
        """A form, and how many characters it passes on its way."""

        def __init__(self, form: Form) -> None:
            self._form = form
            self.name, self.needle, self.rare, self.rest = form.name, form.needle, form.rare, form.rest

        def find(self, text: str, at: int) -> tuple[int, int | None] | None:
            nonlocal passed
            found = self._form.find(text, at)
            passed += (len(text) if found is None else found[0]) - at
            return found

    known = tuple(Counted(form) for form in forms({"twin": "aaaaaaaab"}))
    text = (unit * 20_000)[:20_000]
    redactor = Redactor(known, beginnings(known), lambda _: None)
    redactor.feed(text)
    redactor.finish()
    assert passed <= len(known) * len(text)


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_kept_between_pieces_is_bounded(unit: str) -> None:
    """A long answer would be looked through again with each of its pieces."""
    watch = CanaryWatch(lambda _: None)
    stream = SCANNER.stream("alice")
    for piece in unit * (20_000 // len(unit)):
        watch.feed(piece)
        assert len(watch._visible) <= 76
        assert len(watch._hidden) <= 76
        assert len(watch._encoded) <= 51
        stream._redactor.feed(piece)
        assert len(stream._redactor._held) <= 530
