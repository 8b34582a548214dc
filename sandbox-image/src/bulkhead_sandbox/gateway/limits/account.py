"""What one user, one narrowed session or the whole tenant has left."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from bulkhead_sandbox.gateway.limits.bucket import Bucket
from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from bulkhead_sandbox.config import RateConfig
    from bulkhead_sandbox.gateway.limits.amounts import Estimate, Moment
    from bulkhead_sandbox.gateway.state.seams import DailyCounters

__all__ = ["LEAST_OUTPUT", "Account"]

LEAST_OUTPUT: Final = 16  # tokens; an answer cut shorter than that is of no use, so the call waits instead
REMEMBERED_DAYS: Final = 7
_DAY_SECONDS: Final = 86_400
_CONCURRENT_WAIT_SECONDS: Final = 1.0


class Account:
    """Two buckets, a count of what is under way, and the day's tokens; `scope` and `key` name whose."""

    __slots__ = (
        "_counters",
        "_day_number",
        "_day_text",
        "_owed",
        "key",
        "rates",
        "requests",
        "scope",
        "tokens",
        "under_way",
    )

    def __init__(self, scope: str, key: str, rates: RateConfig, counters: DailyCounters, now: Moment) -> None:
        self.scope = scope
        self.key = key
        self.rates = rates
        self.requests = Bucket(rates.requests_per_minute, now.seconds)
        self.tokens = Bucket(rates.tokens_per_minute, now.seconds)
        self.under_way = 0
        self._counters = counters
        self._day_number = -1
        self._day_text = ""
        self._owed = 0

    def check(self, estimate: Estimate, now: Moment) -> None:
        """Problem if the call may not be made now; nothing is taken yet."""
        if self.under_way >= self.rates.concurrent:
            raise self._refused(Slug.TOO_MANY_CONCURRENT, "concurrent", _CONCURRENT_WAIT_SECONDS)
        if self.requests.level(now.seconds) < 1:
            wait = self.requests.seconds_until(1, now.seconds)
            raise self._refused(Slug.RATE_LIMITED, "requests-per-minute", wait)
        need = estimate.input_tokens + min(LEAST_OUTPUT, estimate.output_tokens)
        if need == 0:
            return
        # From full, a call of any size goes ahead and into debt: a small limit makes slow, never impossible.
        if self.tokens.level(now.seconds) < need and not self.tokens.is_full(now.seconds):
            wait = self.tokens.seconds_until(need, now.seconds)
            raise self._refused(Slug.RATE_LIMITED, "tokens-per-minute", wait)
        used = self.used_today(now)
        if used > 0 and used + need > self.rates.tokens_per_day:
            raise self._refused(Slug.QUOTA_EXHAUSTED, "tokens-per-day", now.seconds_to_midnight)

    def output_cap(self, estimate: Estimate, now: Moment) -> int:
        """How much of the output that is asked for can be paid."""
        left = min(self.tokens.level(now.seconds), self.rates.tokens_per_day - self.used_today(now))
        least = min(LEAST_OUTPUT, estimate.output_tokens)
        return min(estimate.output_tokens, max(least, math.floor(left) - estimate.input_tokens))

    def used_today(self, now: Moment) -> int:
        """Tokens counted since midnight (UTC), and what earlier days spent beyond their limit."""
        self._turn_to(now.day_number)
        return self._owed + self._counters.get(self._day_text, self.key)

    def begin(self, tokens: int, now: Moment) -> str:
        """Take what the call may cost at most; returns the day it was counted on."""
        self._turn_to(now.day_number)
        # Counted in full at once: a process that dies half way has counted the worst case, never nothing.
        if tokens:
            self._counters.add(self._day_text, self.key, tokens)
        self.under_way += 1
        self.requests.take(1, now.seconds)
        self.tokens.take(tokens, now.seconds)
        return self._day_text

    def correct(self, tokens: int, day: str, now: Moment) -> None:
        """Give back what was taken beyond the cost, or take what is missing (`tokens` > 0)."""
        self.tokens.take(tokens, now.seconds)
        if tokens:
            self._counters.add(day, self.key, tokens)

    def end(self) -> None:
        """The call is over."""
        self.under_way -= 1

    def is_as_new(self, now: Moment) -> bool:
        """Whether forgetting it changes nothing: no debt, nothing under way. The day is kept elsewhere."""
        return self.under_way == 0 and self.requests.is_full(now.seconds) and self.tokens.is_full(now.seconds)

    def _turn_to(self, day_number: int) -> None:
        if day_number == self._day_number:
            return
        owed = 0
        for past in range(day_number - REMEMBERED_DAYS, day_number):
            spent = self._counters.get(_text(past), self.key)
            owed = max(0, owed + spent - self.rates.tokens_per_day)
        self._day_number, self._day_text, self._owed = day_number, _text(day_number), owed

    def _refused(self, slug: Slug, limit: str, wait_seconds: float) -> Problem:
        return Problem(
            slug, limit=f"{self.scope}-{limit}", retry_after_seconds=max(1, math.ceil(wait_seconds))
        )


@lru_cache(maxsize=32)
def _text(day_number: int) -> str:
    return datetime.fromtimestamp(day_number * _DAY_SECONDS, UTC).date().isoformat()
