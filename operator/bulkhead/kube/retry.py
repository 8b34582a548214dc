"""When and how long to wait before a call to the API server is made again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkhead.errors import KubeError, TooManyRequests, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Exponential pauses with full jitter; the server's own Retry-After wins."""

    attempts: int = 4
    base_seconds: float = 0.2
    max_seconds: float = 5.0

    def pause_seconds(
        self, error: KubeError, attempt: int, *, idempotent: bool, random: Callable[[], float]
    ) -> float | None:
        """Seconds to wait after attempt 1, 2, ...; None: give up.

        A call that is not idempotent is repeated only when the server surely did not do it: 429, or no
        connection.
        """
        if attempt >= self.attempts or not isinstance(error, TooManyRequests | Unavailable):
            return None
        never_arrived = isinstance(error, TooManyRequests) or error.reason == "NoConnection"
        if not (idempotent or never_arrived):
            return None
        if error.retry_after_seconds is not None:
            return error.retry_after_seconds
        return min(self.max_seconds, self.base_seconds * 2.0 ** (attempt - 1)) * (0.5 + 0.5 * random())
