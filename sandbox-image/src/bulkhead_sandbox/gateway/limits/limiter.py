"""Who may call now, and for how many tokens: all accounts of a caller agree, or nothing is taken."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from bulkhead_sandbox.config import RateConfig
from bulkhead_sandbox.gateway.limits.account import Account
from bulkhead_sandbox.gateway.limits.admission import Admission
from bulkhead_sandbox.gateway.limits.amounts import Estimate, Moment
from bulkhead_sandbox.gateway.limits.headers import rate_headers
from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.config import LimitsConfig
    from bulkhead_sandbox.gateway.state.seams import DailyCounters
    from bulkhead_wire.token import TighterLimits

__all__ = ["MAX_ACCOUNTS", "Limiter"]

MAX_ACCOUNTS: Final = 20_000
_LOOKED_AT: Final = 32  # accounts that one newcomer may cost to look through
_FULL_WAIT_SECONDS: Final = 60


class Limiter:
    """The limits of one workspace; if they cannot be kept, nobody is let in."""

    def __init__(
        self,
        limits: LimitsConfig,
        counters: DailyCounters,
        *,
        clock: Clock,
        wall: Clock,
        max_accounts: int = MAX_ACCOUNTS,
    ) -> None:
        """`clock`: seconds that never go back; `wall`: since 1970, for days."""
        self._limits = limits
        self._counters = counters
        self._clock = clock
        self._wall = wall
        self._max_accounts = max_accounts
        self._tenant = Account("tenant", "t", limits.tenant, counters, self._now())
        self._accounts: OrderedDict[str, Account] = OrderedDict()

    def admit(self, subject: str, estimate: Estimate, tighter: TighterLimits | None = None) -> Admission:
        """The call with as much output as can be paid; Problem where a limit holds it back."""
        now = self._now()
        with _kept():
            accounts = (*self._of(subject, tighter, now), self._tenant)
            try:
                for account in accounts:
                    account.check(estimate, now)
            except Problem as problem:
                problem.headers.update(rate_headers(accounts[0], now))
                raise
            cap = min(account.output_cap(estimate, now) for account in accounts)
            return Admission(accounts, estimate.input_tokens, cap, self._now)

    def usage(self, subject: str, tighter: TighterLimits | None = None) -> dict[str, Any]:
        """What this caller has used and has left; nothing of others."""
        now = self._now()
        with _kept():
            account = self._of(subject, tighter, now)[0]
            rates = account.rates
            return {
                "requests_per_minute": _bucket(
                    account.requests.level(now.seconds), rates.requests_per_minute
                ),
                "tokens_per_minute": _bucket(account.tokens.level(now.seconds), rates.tokens_per_minute),
                "tokens_per_day": {
                    "limit": rates.tokens_per_day,
                    "used": account.used_today(now),
                    "resets_in_seconds": int(now.seconds_to_midnight),
                },
                "concurrent": {"limit": rates.concurrent, "used": account.under_way},
            }

    def debt_tokens(self) -> int:
        """What all users together have overspent and not yet repaid."""
        now = self._now()
        owed = (-account.tokens.level(now.seconds) for account in self._accounts.values())
        return round(sum(debt for debt in owed if debt > 0))

    def _now(self) -> Moment:
        return Moment(self._clock(), self._wall())

    def _of(self, subject: str, tighter: TighterLimits | None, now: Moment) -> tuple[Account, ...]:
        """The caller's accounts. A token's own limits are one more account, so they can only be tighter."""
        user = self._account("user", f"u:{subject}", self._limits.per_user, now)
        narrowed = _narrowed(self._limits.per_user, tighter)
        if narrowed is None:
            return (user,)
        own = "/".join(str(getattr(narrowed, field.name)) for field in fields(narrowed))
        return (self._account("session", f"s:{subject}/{own}", narrowed, now), user)

    def _account(self, scope: str, key: str, rates: RateConfig, now: Moment) -> Account:
        account = self._accounts.get(key)
        if account is None:
            if len(self._accounts) >= self._max_accounts:
                self._forget_one(now)
            account = self._accounts[key] = Account(scope, key, rates, self._counters, now)
        self._accounts.move_to_end(key)
        return account

    def _forget_one(self, now: Moment) -> None:
        """Make room among those longest unused; one that owes something is not forgotten."""
        for _ in range(min(_LOOKED_AT, len(self._accounts))):
            key, account = self._accounts.popitem(last=False)
            if account.is_as_new(now):
                return
            self._accounts[key] = account
        raise Problem(Slug.RATE_LIMITED, limit="tenant-users", retry_after_seconds=_FULL_WAIT_SECONDS)


@contextmanager
def _kept() -> Iterator[None]:
    """Any failure to count is a refusal."""
    try:
        yield
    except Problem:
        raise
    except Exception as error:
        raise Problem(Slug.LIMITER_FAILED) from error


def _narrowed(rates: RateConfig, tighter: TighterLimits | None) -> RateConfig | None:
    """The rates of a token that has its own; None if it has none."""
    if tighter is None:
        return None
    return RateConfig(
        requests_per_minute=_least(rates.requests_per_minute, tighter.rpm),
        tokens_per_minute=_least(rates.tokens_per_minute, tighter.tpm),
        tokens_per_day=_least(rates.tokens_per_day, tighter.tpd),
        concurrent=_least(rates.concurrent, tighter.conc),
    )


def _least(limit: int, own: int | None) -> int:
    return limit if own is None else min(limit, own)


def _bucket(level: float, limit: int) -> dict[str, int]:
    return {"limit": limit, "left": max(0, int(level)), "owed": max(0, -int(level))}
