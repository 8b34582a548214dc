"""The scanner that knows the upstream's key, whichever is mounted: no answer may quote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkhead_sandbox.gateway.content import Scanner
from bulkhead_sandbox.gateway.sessions.trust import WatchedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from typing_extensions import override

    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.gateway.content import StreamScanner, Tags
else:

    def override(method: object) -> object:
        """For the type checker; Python 3.11 has none of its own, and the image no typing_extensions."""
        return method


__all__ = ["KnowingScanner"]


class KnowingScanner(Scanner):
    """Learns a key within a second of its exchange; forgets none, since old ones may still be quoted."""

    def __init__(
        self, tags: Tags, key_files: Iterable[str], clock: Clock, *, on_secret: Callable[[str], None]
    ) -> None:
        self._files = [WatchedFile(path, clock) for path in key_files]
        self._known: dict[str, str] = {}
        super().__init__(tags, {}, on_secret=on_secret)
        self._learn()

    @override
    def stream(self, subject: str) -> StreamScanner:
        """As the base's, with all keys known by now."""
        self._learn()
        return super().stream(subject)

    def _learn(self) -> None:
        found = {content.decode("ascii", "replace").strip() for content in self._contents() if content}
        new = found - set(self._known.values())
        if new:
            self._known |= {
                f"model-key-{number}": value for number, value in enumerate(sorted(new), len(self._known) + 1)
            }
            super().__init__(self._tags, self._known, on_secret=self._on_secret)

    def _contents(self) -> Iterable[bytes | None]:
        return (file.current() for file in self._files)
