"""What secrets look like: exact ones that are known, and forms that only secrets have.

From any one position, no form looks further than MAX_WIDTH characters or the known secret's length.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LEAST_CHARACTERS", "MAX_WIDTH", "Form", "Rest", "forms"]

LEAST_CHARACTERS: Final = 8  # of a known secret: a shorter one would be found in every text
MAX_WIDTH: Final = 525


class Rest(Protocol):
    """What is left of a secret whose beginning is certain; it goes too."""

    def end(self, text: str, at: int) -> int | None:
        """Where it ends; None: not in this text. Called for each piece in turn."""


class Form(Protocol):
    """One kind of secret."""

    name: str  # what the text says instead
    needle: str  # how it begins, 3 to 11 characters
    rare: str  # the one of these that other texts hold least

    def find(self, text: str, at: int) -> tuple[int, int | None] | None:
        """Where the first one begins, and where what makes it certain ends: None if more text must tell."""

    def rest(self) -> Rest:
        """For the text from there on."""


class _Run:
    """As many characters of one set as there are."""

    def __init__(self, characters: str) -> None:
        self._pattern = re.compile(f"[{characters}]*", re.ASCII)

    def end(self, text: str, at: int) -> int | None:
        match = self._pattern.match(text, at)
        end = match.end() if match else at
        return None if end == len(text) else end


class _Nothing:
    def end(self, _text: str, at: int) -> int:
        return at


class _Exact:
    """A secret that is known."""

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.needle = value[:LEAST_CHARACTERS]
        self.rare = _rarest(self.needle)
        self._value = value

    def find(self, text: str, at: int) -> tuple[int, int | None] | None:
        begin = text.find(self._value, at)
        if begin >= 0:
            return begin, begin + len(self._value)
        begin = text.find(self.needle, max(at, len(text) - len(self._value) + 1))
        while begin >= 0 and not self._value.startswith(text[begin:]):
            begin = text.find(self.needle, begin + 1)
        return None if begin < 0 else (begin, None)

    def rest(self) -> Rest:
        return _Nothing()


class _Pattern:
    """`whole`: as much of one as makes it certain; `part`: what may become that, at the end of a text."""

    def __init__(self, name: str, needle: str, *, whole: str, part: str, rest: Callable[[], Rest]) -> None:
        self.name = name
        self.needle = needle
        self.rare = _rarest(needle)
        self.pattern: Final = re.compile(rf"({whole})|(?:{part})\Z", re.ASCII)
        self._rest = rest

    def find(self, text: str, at: int) -> tuple[int, int | None] | None:
        at = text.find(self.needle, at)  # several times faster than the pattern where there is none
        match = self.pattern.search(text, at) if at >= 0 else None
        return match and (match.start(), match.end() if match[1] else None)

    def rest(self) -> Rest:
        return self._rest()


def _token(name: str, needle: str, characters: str, count: int) -> _Pattern:
    """`needle` and at least `count` of `characters`."""
    run = _Run(characters)
    whole = f"{needle}[{characters}]{{{count}}}"
    part = f"{needle}[{characters}]{{0,{count - 1}}}"
    return _Pattern(name, needle, whole=whole, part=part, rest=lambda: run)


class _PemBody:
    """To the end of the END line, or to a character that stands in no such block."""

    _body = re.compile(r"[A-Za-z0-9+/=\s\\:,]+", re.ASCII)
    _label = re.compile(r"[A-Z0-9 ]+")

    def __init__(self) -> None:
        self._dashes = 0
        self._in_end_line = False

    def end(self, text: str, at: int) -> int | None:
        while at < len(text):
            if text[at] == "-":
                at += 1
                self._dashes += 1
                if self._in_end_line and self._dashes == 5:
                    return at
                continue
            self._in_end_line |= self._dashes >= 5
            self._dashes = 0
            match = (self._label if self._in_end_line else self._body).match(text, at)
            if match is None:
                return at
            at = match.end()
        return None


def forms(known: Mapping[str, str]) -> tuple[Form, ...]:
    """Those of `known` (name to value) that are long enough to be told from other text, then all others."""
    exact = [_Exact(name, value) for name, value in known.items() if len(value) >= LEAST_CHARACTERS]
    return (*exact, *_FORMS)


def _rarest(needle: str) -> str:
    return min(needle, key=lambda c: (c.isalpha(), c.islower() and c not in "jkqvxz"))


_FORMS: Final[tuple[Form, ...]] = (
    *(_token("aws-key", needle, "A-Z0-9", 16) for needle in ("AKIA", "ASIA")),
    *(_token("github-token", f"gh{kind}_", "A-Za-z0-9", 36) for kind in "pousr"),
    _token("github-token", "github_pat_", "A-Za-z0-9_", 36),
    _token("gitlab-token", "glpat-", "A-Za-z0-9_-", 20),
    _token("google-key", "AIza", "A-Za-z0-9_-", 35),
    _token("huggingface-token", "hf_", "A-Za-z0-9", 30),
    _token("api-key", "sk-", "A-Za-z0-9_-", 32),
    *(_token("slack-token", f"xox{kind}-", "A-Za-z0-9-", 24) for kind in "abps"),
    # A header that is a JSON object, a dot, and the beginning of what it signs.
    _Pattern(
        "jwt",
        "eyJ",
        whole=r"eyJ[\w-]{9,509}+\.[\w-]{12}",
        part=r"eyJ[\w-]{0,509}+(?:\.[\w-]{0,11})?",
        rest=lambda: _Run(r"\w.-"),
    ),
    _Pattern(
        "private-key",
        "-----BEGIN ",
        whole=r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----",
        part=r"-----BEGIN [A-Z0-9 ]{0,41}-{0,4}",
        rest=_PemBody,
    ),
)
