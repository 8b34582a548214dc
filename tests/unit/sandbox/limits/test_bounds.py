"""Whatever calls come side by side, in whatever order they end: nobody spends beyond the limit."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from bulkhead_sandbox.config import LimitsConfig, RateConfig
from bulkhead_sandbox.gateway.limits import Admission, Estimate, Limiter, Usage
from bulkhead_sandbox.gateway.limits.account import LEAST_OUTPUT
from bulkhead_sandbox.problems import Problem
from bulkhead_wire.token import TighterLimits

MODEL_MOST = 1024
PLENTY = 10**9


class Counters:
    """DailyCounters in a dict."""

    def __init__(self) -> None:
        self.amounts: dict[tuple[str, str], int] = {}

    def add(self, day: str, key: str, amount: int) -> None:
        self.amounts[day, key] = self.get(day, key) + amount

    def get(self, day: str, key: str) -> int:
        return self.amounts.get((day, key), 0)


@dataclass(frozen=True)
class Call:
    """A call, and what came of it: part of its input guess and of its cap is really used."""

    user: int
    given: int
    asked: int
    part: float
    crash: bool
    tighter: int | None


CALLS = st.builds(
    Call,
    user=st.integers(0, 2),
    given=st.integers(0, 400),
    asked=st.integers(1, MODEL_MOST),
    part=st.floats(0, 1),
    crash=st.booleans(),
    tighter=st.none() | st.integers(1, 3000),
)
LIMITS = st.integers(1, 3000)


def rates(minute: int, day: int = PLENTY) -> RateConfig:
    return RateConfig(
        requests_per_minute=PLENTY, tokens_per_minute=minute, tokens_per_day=day, concurrent=PLENTY
    )


def run(limiter: Limiter, calls: list[Call], order: list[int]) -> dict[int, int]:
    """All calls begin side by side, then end in `order`; what each user settled."""
    admitted: list[tuple[Call, Admission]] = []
    for call in calls:
        limits = None if call.tighter is None else TighterLimits(tpm=call.tighter)
        try:
            admission = limiter.admit(f"user-{call.user}", Estimate(call.given, call.asked), limits)
        except Problem:
            continue
        assert 0 <= admission.output_cap <= call.asked
        admitted.append((call, admission))
    spent = dict.fromkeys(range(3), 0)
    for at in order:
        if not admitted:
            break
        call, admission = admitted.pop(at % len(admitted))
        with admission:
            used = admission.reserved_tokens
            if not call.crash:
                output = int(admission.output_cap * call.part)
                admission.settle(Usage(call.given, output))
                used = call.given + output
            spent[call.user] += used
    return spent


@given(calls=st.lists(CALLS, max_size=40), order=st.lists(st.integers(0, 100), min_size=40), minute=LIMITS)
def test_calls_side_by_side_settle_at_most_the_limit_and_one_clamp(
    calls: list[Call], order: list[int], minute: int
) -> None:
    """Five calls that each see the whole allowance would spend five allowances."""
    limiter = Limiter(
        LimitsConfig(per_user=rates(minute), tenant=rates(PLENTY)),
        Counters(),
        clock=lambda: 0.0,
        wall=lambda: 0.0,
    )
    largest = max((call.given for call in calls), default=0)
    for spent in run(limiter, calls, order).values():
        # Beyond the limit only where a single first call is larger than all of it.
        assert spent <= max(minute, largest + LEAST_OUTPUT) <= minute + MODEL_MOST


@given(calls=st.lists(CALLS, max_size=40), order=st.lists(st.integers(0, 100), min_size=40), day=LIMITS)
def test_the_day_holds_for_all_users_together(calls: list[Call], order: list[int], day: int) -> None:
    """The tenant's budget is one, however many spend it."""
    counters = Counters()
    limiter = Limiter(
        LimitsConfig(per_user=rates(PLENTY), tenant=rates(PLENTY, day)),
        counters,
        clock=lambda: 0.0,
        wall=lambda: 0.0,
    )
    spent = sum(run(limiter, calls, order).values())
    largest = max((call.given for call in calls), default=0)
    assert spent <= max(day, largest + LEAST_OUTPUT)
    assert spent == counters.get("1970-01-01", "t")


@given(
    overrun=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 5000)), min_size=1, max_size=60),
    minute=LIMITS,
)
def test_what_is_spent_beyond_is_repaid_before_anything_else(
    overrun: list[tuple[int, int]], minute: int
) -> None:
    """However wrong guesses are: in the long run nobody has more than the limit for the time and one call."""
    now = [0.0]
    limiter = Limiter(
        LimitsConfig(per_user=rates(minute), tenant=rates(PLENTY)),
        Counters(),
        clock=lambda: now[0],
        wall=lambda: 0.0,
    )
    spent = largest = 0
    for wait, used in overrun:
        now[0] += wait
        try:
            admission = limiter.admit("alice", Estimate(1, 16))
        except Problem:
            continue
        with admission:
            admission.settle(Usage(0, used))
        spent += used
        largest = max(largest, used)
        assert spent - used <= minute * (1 + now[0] / 60) + largest
    assert spent <= minute * (1 + now[0] / 60) + largest
