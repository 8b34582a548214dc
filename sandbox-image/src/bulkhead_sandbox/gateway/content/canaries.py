r"""Finds canaries in a text that comes in pieces, also where somebody took pains to hide them.

Seen through: case, whatever is neither letter nor digit between the characters (spaces, markup, invisible
characters, emoji), combining marks, compatibility forms (full-width, mathematical), any split into pieces,
escaped hyphens (%2d, \u002d, &#45;), hexadecimal, percent-encoding, tag characters (U+E0020 and on), and
base64 in either alphabet, at any offset and wrapped at will. docs/security/prompt-isolation.md says what is
not.
"""

from __future__ import annotations

import re
import unicodedata
from binascii import a2b_base64
from typing import TYPE_CHECKING, Final

from bulkhead_sandbox.gateway.content.tags import DIGITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bulkhead_sandbox.gateway.content.tags import Kind

    Judge = Callable[[str], "Kind | None"]

__all__ = ["CanaryWatch"]

_LOWER: Final = bytes(range(256)).lower()
_NOT_ALNUM: Final = bytes(c for c in range(256) if c >= 128 or not chr(c).isalnum())
_ASCII: Final = bytes(range(128))
_LETTER: Final = re.compile(r"\w")
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]+")
_TAG_CHARACTERS: Final = re.compile("[\U000e0020-\U000e007e]+")
_TAGS_UTF8: Final = b"\xf3\xa0"  # U+E0000 to U+E0FFF
_FROM_TAGS: Final = {0xE0000 + code: code for code in range(0x20, 0x7F)}

# As the letters and digits of a text; each with what may stand for a hyphen among them.
_HYPHENS: Final = (b"", b"2d", b"u002d", b"45")
_PLAIN: Final = tuple(
    re.compile(
        b"bhc"
        + hyphen
        + b"([0-9a-f]{0,8})(?:"
        + hyphen
        + b"([0-9a-f]{0,16})(?:"
        + hyphen
        + b"([0-9a-f]{0,8}))?)?"
    )
    for hyphen in _HYPHENS
)
_CANDIDATE: Final = re.compile(rb"bhc(?=[0-9a-fu]{8})")
_MAY_GO_ON: Final = re.compile(rb"bhc[0-9a-fu]*\Z")
_LONGEST_PLAIN: Final = 3 + DIGITS + 3 * 5
_HEX: Final = b"6268632d"  # bhc-
_HEX_RUN: Final = re.compile(rb"[0-9a-f]{8,76}")
_LONGEST_HEX: Final = 76

_URL_ALPHABET: Final = bytes.maketrans(b"-_", b"+/")
_SPACES: Final = b" \t\r\n\f\v"
# `bhc-` at each of three offsets, and how many characters of its group of four stand before.
_BASE64: Final = ((b"YmhjL", 0), (b"JoYy", 2), (b"iaGMt", 3))
_BASE64_RUN: Final = re.compile(rb"[A-Za-z0-9+/]{4,51}")
_LONGEST_BASE64: Final = 51
_DECODED: Final = re.compile(
    rb".{0,2}.[hH][cC]-([0-9a-fA-F]{0,8})-?([0-9a-fA-F]{0,16})-?([0-9a-fA-F]{0,8})", re.DOTALL
)


class CanaryWatch:
    """One text; `pending` while what has come so far may be the beginning of a canary."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._visible = b""  # letters and digits that were not judged yet
        self._hidden = b""  # the same of tag characters
        self._encoded = b""  # without spaces, as base64 would be
        self.pending = False

    def feed(self, text: str) -> Kind | None:
        """What the text holds, as soon as that is certain."""
        return self._look(text, ends=False)

    def finish(self) -> Kind | None:
        """The same at the end of the text, where half a canary is one as well."""
        return self._look("", ends=True)

    def _look(self, text: str, *, ends: bool) -> Kind | None:
        self.pending = False
        hidden = _hidden(text)
        encoded = text.encode("ascii", "ignore").translate(_URL_ALPHABET, _SPACES)
        found, self._visible = self._letters(self._visible + _letters(text), ends=ends)
        if found is None and (hidden or self._hidden):
            found, self._hidden = self._letters(self._hidden + _letters(hidden), ends=ends)
        if found is None:
            found, self._encoded = self._base64(self._encoded + encoded, ends=ends)
        return found

    def _letters(self, text: bytes, *, ends: bool) -> tuple[Kind | None, bytes]:
        """What is in letters and digits, and those that are still to be judged."""
        rest = len(text) - len(_HEX) + 1
        waits = None if ends else _MAY_GO_ON.search(text, max(0, len(text) - _LONGEST_PLAIN + 1))
        if waits:
            self.pending, rest = True, min(rest, waits.start())
        for candidate in _CANDIDATE.finditer(text) if b"bhc" in text else ():
            at = candidate.start()
            for form in _PLAIN:
                match = form.match(text, at)
                digits = b"".join(match.groups(b"")).decode() if match else ""
                is_whole = len(digits) == DIGITS or not waits or at < waits.start()
                found = self._judge(digits) if is_whole else None
                if found:
                    return found, b""
        for at in _each(text, _HEX):
            run = _run(_HEX_RUN, text, at)
            if not ends and len(run) < _LONGEST_HEX and at + len(run) == len(text):
                self.pending, rest = True, min(rest, at)
                break
            found = self._decoded(bytes.fromhex(run[: len(run) & ~1].decode()))
            if found:
                return found, b""
        return None, text[max(rest, 0) :]

    def _base64(self, text: bytes, *, ends: bool) -> tuple[Kind | None, bytes]:
        """The same of base64."""
        rest = len(text) - 4
        for needle, before in _BASE64:
            for at in _each(text, needle):
                run = _run(_BASE64_RUN, text, at)
                if not ends and len(run) < _LONGEST_BASE64 and at + len(run) == len(text):
                    self.pending, rest = True, min(rest, at)
                    break
                group = b"A" * before + run
                found = self._decoded(a2b_base64(group + b"A" * (-len(group) % 4)))
                if found:
                    return found, b""
        return None, text[max(rest, 0) :]

    def _decoded(self, text: bytes) -> Kind | None:
        match = _DECODED.match(text)
        return match and self._judge(b"".join(match.groups()).decode().lower())


def _letters(text: str) -> bytes:
    """Its letters and digits in ASCII and lower case; a run of other alphabets' letters is one `z`."""
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        if _LETTER.search(_utf8(text).translate(None, _ASCII).decode(errors="ignore")):
            text = _NOT_ASCII.sub(lambda run: "z" if _LETTER.search(run[0]) else "", text)
    return text.encode("ascii", "ignore").translate(_LOWER, _NOT_ALNUM)


def _hidden(text: str) -> str:
    """What its tag characters say."""
    if text.isascii() or _TAGS_UTF8 not in _utf8(text):
        return ""
    return "".join(_TAG_CHARACTERS.findall(text)).translate(_FROM_TAGS)


def _utf8(text: str) -> bytes:
    return text.encode(errors="ignore")  # a lone surrogate is no letter


def _each(text: bytes, needle: bytes) -> Iterable[int]:
    """Where `needle` begins, in order; nearly always nowhere, and then at no cost."""
    return (match.start() for match in re.finditer(needle, text)) if needle in text else ()


def _run(pattern: re.Pattern[bytes], text: bytes, at: int) -> bytes:
    match = pattern.match(text, at)
    return match[0] if match else b""
