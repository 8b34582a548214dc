"""When this gateway last served a session: what the operator asks before it ends an idle workspace."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from bulkhead_sandbox.clock import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkhead_sandbox.clock import Clock

__all__ = ["Activity"]


class Activity:
    """Counts from the verified token to the end of the answer, so that a long call is no idle time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._started_at = clock()
        self._last_session_at: float | None = None
        self._under_way = 0

    @contextmanager
    def serving(self) -> Iterator[None]:
        """While a session's request is served."""
        self._under_way += 1
        self._last_session_at = self._clock()
        try:
            yield
        finally:
            self._under_way -= 1
            self._last_session_at = self._clock()

    def report(self) -> dict[str, str | None]:
        """Times only: no user, no session."""
        last = self._clock() if self._under_way else self._last_session_at
        return {
            "started_at": rfc3339(self._started_at),
            "last_session_at": None if last is None else rfc3339(last),
        }
