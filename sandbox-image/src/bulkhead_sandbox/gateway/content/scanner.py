"""Looks through what a model or a tool says: canaries stop it, secrets are replaced.

A stream holds back what may be the beginning of either, so that no half of one leaves, and gives out exactly
the text that the whole would give, wherever its pieces end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead_sandbox.gateway.content.canaries import CanaryWatch
from bulkhead_sandbox.gateway.content.secrets import forms

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bulkhead_sandbox.gateway.content.secrets import Form, Rest
    from bulkhead_sandbox.gateway.content.tags import Kind, Tags

__all__ = ["Redactor", "Scanner", "StreamScanner", "UnsafeOutput", "beginnings"]


class UnsafeOutput(Exception):
    """The text holds a canary; none of it may go further. The message never holds text."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind.value)
        self.kind = kind


class Scanner:
    """For all texts of one workspace."""

    def __init__(
        self, tags: Tags, secrets: Mapping[str, str], *, on_secret: Callable[[str], None] = lambda _name: None
    ) -> None:
        """`secrets`: name to value, those that are known; `on_secret` is told the name of each replaced."""
        self._tags = tags
        self._forms = forms(secrets)
        self._beginnings = beginnings(self._forms)
        self._on_secret = on_secret

    def text(self, text: str, subject: str) -> str:
        """`text` without secrets; UnsafeOutput if it must not be seen by `subject`."""
        stream = self.stream(subject)
        return stream.feed(text) + stream.finish()

    def stream(self, subject: str) -> StreamScanner:
        """For one text in pieces: a choice's content, or the arguments of one of its tool calls."""
        watch = CanaryWatch(lambda digits: self._tags.judge(digits, subject))
        return StreamScanner(watch, Redactor(self._forms, self._beginnings, self._on_secret))


class StreamScanner:
    """One text; after UnsafeOutput nothing more comes out of it."""

    def __init__(self, watch: CanaryWatch, redactor: Redactor) -> None:
        self._watch = watch
        self._redactor = redactor
        self._waiting: list[str] = []
        self._unsafe: Kind | None = None

    def feed(self, text: str) -> str:
        """What may leave after this piece."""
        self._stop_at(self._watch.feed(text))
        if self._watch.pending:
            self._waiting.append(text)
            return ""
        return self._redactor.feed(self._waited() + text)

    def finish(self) -> str:
        """What is left at the end."""
        self._stop_at(self._watch.finish())
        return self._redactor.feed(self._waited()) + self._redactor.finish()

    def _waited(self) -> str:
        waited = "".join(self._waiting)
        self._waiting.clear()
        return waited

    def _stop_at(self, found: Kind | None) -> None:
        self._unsafe = self._unsafe or found
        if self._unsafe is not None:
            raise UnsafeOutput(self._unsafe)


class Redactor:
    """Replaces secrets in one text that comes in pieces."""

    def __init__(
        self, known: tuple[Form, ...], beginnings: frozenset[str], on_secret: Callable[[str], None]
    ) -> None:
        self._forms = known
        self._beginnings = beginnings
        self._on_secret = on_secret
        self._held = ""
        self._rest: Rest | None = None

    def feed(self, text: str) -> str:
        """What is certain not to belong to a secret, and what stands for secrets."""
        return self._work(self._held + text, ends=False)

    def finish(self) -> str:
        """The same at the end, where nothing is undecided."""
        return self._work(self._held, ends=True)

    def _work(self, text: str, *, ends: bool) -> str:
        at = 0  # all before it has been dealt with
        self._held = ""
        if self._rest is not None:
            end = self._rest.end(text, at)
            if end is None:
                return ""
            self._rest, at = None, end
        out: list[str] = []
        found = self._find(text, at, range(len(self._forms)), ends=ends)
        while found:
            index, (begin, certain) = min(found.items(), key=lambda item: (item[1][0], item[0]))
            if certain is None:
                break
            out += (text[at:begin], f"[redacted:{self._forms[index].name}]")
            self._on_secret(self._forms[index].name)
            self._rest = self._forms[index].rest()
            end = self._rest.end(text, certain)
            if end is None:
                return "".join(out)
            self._rest, at = None, end
            passed = [index for index, (begin, _) in found.items() if begin < at]
            kept = {index: where for index, where in found.items() if where[0] >= at}
            found = kept | self._find(text, at, passed, ends=ends)
        begins = [begin for begin, _ in found.values()]
        keep = len(text) if ends else min([*begins, len(text) - self._beginning(text, at)])
        self._held = text[keep:]
        return "".join((*out, text[at:keep]))

    def _find(
        self, text: str, at: int, among: Iterable[int], *, ends: bool
    ) -> dict[int, tuple[int, int | None]]:
        """By form: where the first of it begins, and ends as far as it is certain."""
        found = {}
        for index in among:
            form = self._forms[index]
            where = form.find(text, at) if form.rare in text else None
            if where is not None and not (ends and where[1] is None):
                found[index] = where
        return found

    def _beginning(self, text: str, at: int) -> int:
        """How many characters at the end of `text` may be the beginning of a secret's beginning."""
        for count in range(min(_LONGEST_BEGINNING, len(text) - at), 0, -1):
            if text[-count:] in self._beginnings:
                return count
        return 0


_LONGEST_BEGINNING: Final = 10


def beginnings(known: tuple[Form, ...]) -> frozenset[str]:
    """What ends a text in which a secret may have begun."""
    return frozenset(form.needle[:count] for form in known for count in range(1, len(form.needle)))
