"""Limits: who is let in, for how much, and what overspending costs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import Any

import pytest

from bulkhead_sandbox.config import LimitsConfig, RateConfig
from bulkhead_sandbox.gateway.limits import NO_TOKENS, Admission, Estimate, Limiter, Usage
from bulkhead_sandbox.gateway.state import StateFailed
from bulkhead_sandbox.problems import Problem, Slug
from bulkhead_wire.token import TighterLimits

NOON = 1_800_000_000.0 - 1_800_000_000.0 % 86_400 + 43_200
USER = RateConfig(requests_per_minute=60, tokens_per_minute=1000, tokens_per_day=5000, concurrent=4)
WIDE = RateConfig(requests_per_minute=10**6, tokens_per_minute=10**7, tokens_per_day=10**9, concurrent=10**4)


class Counters:
    """DailyCounters in a dict; `broken` makes every call fail."""

    def __init__(self) -> None:
        self.amounts: dict[tuple[str, str], int] = defaultdict(int)
        self.broken = False

    def add(self, day: str, key: str, amount: int) -> None:
        if self.broken:
            raise StateFailed("the disk is full")
        self.amounts[day, key] += amount

    def get(self, day: str, key: str) -> int:
        return self.amounts.get((day, key), 0)


class Bench:
    """A limiter whose time moves when told to."""

    def __init__(self, user: RateConfig = USER, tenant: RateConfig = WIDE, **options: Any) -> None:
        self.seconds = 0.0
        self.counters = Counters()
        self.limits = LimitsConfig(per_user=user, tenant=tenant)
        self.options = options
        self.limiter = self.restarted()

    def restarted(self) -> Limiter:
        return Limiter(
            self.limits,
            self.counters,
            clock=lambda: self.seconds,
            wall=lambda: NOON + self.seconds,
            **self.options,
        )

    def admit(self, given: int, asked: int, subject: str = "alice", **tighter: int) -> Admission:
        limits = TighterLimits(**tighter) if tighter else None
        return self.limiter.admit(subject, Estimate(given, asked), limits)

    def spend(self, given: int, asked: int, subject: str = "alice", *, used: int | None = None) -> int:
        """A whole call; the tokens that it was granted as output."""
        with self.admit(given, asked, subject) as admission:
            admission.settle(Usage(given, admission.output_cap if used is None else used))
            return admission.output_cap

    def refusal(self, given: int, asked: int, subject: str = "alice", **tighter: int) -> Problem:
        with pytest.raises(Problem) as caught:
            self.admit(given, asked, subject, **tighter)
        return caught.value


def test_a_call_is_granted_what_it_asks_for_while_there_is_enough() -> None:
    """Else every answer would be cut."""
    assert 300 == Bench().spend(100, 300)


def test_output_is_clamped_to_what_is_left() -> None:
    """A limit of 1,000 with an answer of 5,000 allowed would be no limit."""
    bench = Bench()
    assert 900 == bench.spend(100, 5000, used=0)
    bench.spend(500, 0)
    assert 300 == bench.spend(100, 5000)


def test_a_small_limit_lets_the_first_call_through_and_makes_the_next_wait() -> None:
    """A limit below one question's size must slow down, not shut out."""
    bench = Bench(replace(USER, tokens_per_minute=100))
    assert 16 == bench.spend(400, 1024)
    refused = bench.refusal(1, 1)
    assert (Slug.RATE_LIMITED, "user-tokens-per-minute") == (refused.slug, refused.limit)
    assert 191 == refused.retry_after_seconds  # 316 owed and 2 wanted, at 100 a minute
    bench.seconds += 191
    bench.spend(1, 1)


def test_more_than_was_reserved_becomes_debt_that_must_be_repaid() -> None:
    """Forgiven overspending is a licence to overspend."""
    bench = Bench()
    with bench.admit(100, 100) as admission:
        admission.settle(Usage(100, 2900))
    assert 2000 == bench.limiter.debt_tokens()
    bench.seconds += 119
    assert Slug.RATE_LIMITED is bench.refusal(10, 10).slug
    bench.seconds += 3
    bench.spend(10, 10)


def test_what_was_not_used_comes_back() -> None:
    """A short answer must not cost the longest possible one."""
    bench = Bench()
    bench.spend(100, 800, used=5)
    assert 895 == bench.limiter.usage("alice")["tokens_per_minute"]["left"]


def test_who_never_settles_has_paid_the_worst_case() -> None:
    """A crash between reserve and settle would be a free call."""
    bench = Bench()
    with pytest.raises(ZeroDivisionError), bench.admit(100, 800):
        raise ZeroDivisionError
    usage = bench.limiter.usage("alice")
    assert (100, 900, 0) == (
        usage["tokens_per_minute"]["left"],
        usage["tokens_per_day"]["used"],
        usage["concurrent"]["used"],
    )


def test_only_the_first_settlement_counts() -> None:
    """Two of them would pay back twice."""
    bench = Bench()
    with bench.admit(100, 800) as admission:
        admission.settle(Usage(100, 100))
        admission.refund()
    assert 800 == bench.limiter.usage("alice")["tokens_per_minute"]["left"]


def test_a_refund_gives_the_tokens_back_and_not_the_request() -> None:
    """A dead model must not eat a user's tokens; hammering it is still limited."""
    bench = Bench()
    with bench.admit(100, 800) as admission:
        admission.refund()
    usage = bench.limiter.usage("alice")
    assert (1000, 59, 0) == (
        usage["tokens_per_minute"]["left"],
        usage["requests_per_minute"]["left"],
        usage["tokens_per_day"]["used"],
    )


def test_requests_are_limited_and_come_back_one_by_one() -> None:
    """60 a minute are one a second."""
    bench = Bench()
    for _ in range(60):
        with bench.limiter.admit("alice", NO_TOKENS):
            pass
    refused = bench.refusal(0, 0)
    assert ("user-requests-per-minute", 1) == (refused.limit, refused.retry_after_seconds)
    bench.seconds += 1
    with bench.limiter.admit("alice", NO_TOKENS):
        pass


def test_concurrency_is_limited_and_freed_at_the_end() -> None:
    """Slow calls must not take every place."""
    bench = Bench()
    held = [bench.admit(1, 1) for _ in range(4)]
    refused = bench.refusal(1, 1)
    assert (Slug.TOO_MANY_CONCURRENT, "user-concurrent") == (refused.slug, refused.limit)
    with held[0]:
        pass
    bench.admit(1, 1)


def test_a_user_in_debt_may_still_call_a_tool() -> None:
    """Tools cost no tokens."""
    bench = Bench()
    bench.spend(100, 100, used=5000)
    with bench.limiter.admit("alice", NO_TOKENS):
        pass


def test_the_day_is_limited_and_begins_anew_at_midnight() -> None:
    """A budget that never resets, or never ends, is none."""
    bench = Bench(replace(USER, tokens_per_minute=100_000))
    bench.spend(2000, 2990)
    refused = bench.refusal(10, 10)
    assert (Slug.QUOTA_EXHAUSTED, "user-tokens-per-day", 43_200) == (
        refused.slug,
        refused.limit,
        refused.retry_after_seconds,
    )
    bench.seconds += 43_200
    bench.spend(10, 10)


def test_what_a_day_overspent_is_missing_on_the_next() -> None:
    """Midnight would forgive every debt."""
    bench = Bench(replace(USER, tokens_per_minute=100_000))
    bench.spend(10, 10, used=7990)
    bench.seconds += 43_200
    assert 3000 == bench.limiter.usage("alice")["tokens_per_day"]["used"]


def test_a_restart_is_no_refill_of_the_day() -> None:
    """Else a crash would be worth a budget."""
    bench = Bench(replace(USER, tokens_per_minute=100_000))
    bench.spend(2000, 3000)
    bench.limiter = bench.restarted()
    assert Slug.QUOTA_EXHAUSTED is bench.refusal(10, 10).slug


def test_the_tenant_is_limited_though_every_user_is_within_limits() -> None:
    """Many users must not add up to more than the workspace may spend."""
    bench = Bench(tenant=replace(WIDE, tokens_per_minute=1500))
    bench.spend(500, 400, "alice")
    refused = bench.refusal(700, 100, "bob")
    assert "tenant-tokens-per-minute" == refused.limit


def test_a_refusal_by_the_tenant_takes_nothing_from_the_user() -> None:
    """All accounts agree, or nothing is taken."""
    bench = Bench(tenant=replace(WIDE, concurrent=1))
    with bench.admit(1, 1, "bob"):
        bench.refusal(100, 100)
    assert (60, 1000) == tuple(
        bench.limiter.usage("alice")[name]["left"] for name in ("requests_per_minute", "tokens_per_minute")
    )


def test_users_do_not_share_a_bucket() -> None:
    """One user's flood must not be another's refusal."""
    bench = Bench()
    bench.spend(900, 100, "alice")
    assert 100 == bench.spend(900, 100, "bob")


def test_a_token_may_tighten_limits() -> None:
    """A delegated agent gets a part of its user's budget."""
    bench = Bench()
    assert (
        "session-tokens-per-minute" == (bench.admit(50, 50, tpm=100), bench.refusal(50, 50, tpm=100))[1].limit
    )
    bench.admit(50, 50)


def test_a_token_may_not_widen_limits() -> None:
    """Whoever mints a token would mint a budget."""
    bench = Bench()
    with bench.admit(400, 5000, tpm=10**9, rpm=10**9, tpd=10**9, conc=10**9) as admission:
        assert 600 == admission.output_cap
    assert Slug.RATE_LIMITED is bench.refusal(100, 100, tpm=10**9).slug


def test_a_store_that_fails_lets_nobody_in_and_holds_no_place() -> None:
    """Counting in memory instead would forget the day at the next restart."""
    bench = Bench()
    bench.counters.broken = True
    for _ in range(10):
        assert Slug.LIMITER_FAILED is bench.refusal(10, 10).slug
    bench.counters.broken = False
    assert 0 == bench.limiter.usage("alice")["concurrent"]["used"]
    bench.spend(10, 10)


def test_a_store_that_fails_between_leaves_the_reserve_counted() -> None:
    """An answer that was given cannot be taken back; what it may have cost stays on the bill."""
    bench = Bench()
    with bench.admit(100, 800) as admission:
        bench.counters.broken = True
        admission.settle(Usage(100, 10))
    assert 900 == bench.limiter.usage("alice")["tokens_per_day"]["used"]


def test_a_debtor_is_never_forgotten_for_a_newcomer() -> None:
    """Else a flood of new names would wipe out debts."""
    bench = Bench(max_accounts=3)
    bench.spend(100, 100, "debtor", used=3000)
    bench.spend(0, 0, "one")
    bench.seconds += 60
    for name in ("two", "three", "four"):
        bench.spend(0, 0, name)
        bench.seconds += 2
    assert "user-tokens-per-minute" == bench.refusal(10, 10, "debtor").limit


def test_a_full_table_of_active_users_lets_no_new_one_in() -> None:
    """Memory is bounded whatever comes."""
    bench = Bench(max_accounts=2)
    bench.spend(1, 1, "one")
    bench.spend(1, 1, "two")
    assert "tenant-users" == bench.refusal(1, 1, "three").limit
    bench.seconds += 60
    bench.spend(1, 1, "three")


def test_answers_say_what_is_left_in_both_forms() -> None:
    """Clients slow down by these; the standard's form and OpenAI's must agree."""
    bench = Bench()
    with bench.admit(100, 400) as admission:
        admission.settle(Usage(100, 400))
        headers = admission.headers()
    assert {
        "RateLimit-Policy": '"requests";q=60;w=60, "tokens";q=1000;w=60;qu="tokens", '
        '"day";q=5000;w=86400;qu="tokens"',
        "RateLimit": '"requests";r=59;t=1, "tokens";r=500;t=30, "day";r=4500;t=43200',
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-requests": "59",
        "x-ratelimit-remaining-tokens": "500",
        "x-ratelimit-reset-requests": "1.000s",
        "x-ratelimit-reset-tokens": "30.000s",
    } == headers


def test_a_refusal_says_what_is_left_and_when_to_come_back() -> None:
    """A client that is not told when tries at once."""
    bench = Bench()
    bench.spend(500, 500)
    headers = bench.refusal(500, 100).headers
    assert ("31", "0") == (headers["Retry-After"], headers["x-ratelimit-remaining-tokens"])
