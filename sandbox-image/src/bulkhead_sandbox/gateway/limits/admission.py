"""One call that was let in: what it may cost, what it did cost, and what its answer says of the rest."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Self

from bulkhead_sandbox.gateway.limits.headers import rate_headers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkhead_sandbox.gateway.limits.account import Account
    from bulkhead_sandbox.gateway.limits.amounts import Moment, Usage

__all__ = ["Admission"]


class Admission:
    """To be used with `with`: at the end its place is free, and who never settled has paid the worst case."""

    def __init__(
        self, accounts: Sequence[Account], input_tokens: int, output_cap: int, now: Callable[[], Moment]
    ) -> None:
        """The first of `accounts` is the one that the answer's headers tell of."""
        self.output_cap = output_cap
        self.reserved_tokens = input_tokens + output_cap
        self._now = now
        self._accounts = accounts
        self._settled = False
        self._days: list[str] = []
        moment = now()
        try:
            for account in accounts:
                self._days.append(account.begin(self.reserved_tokens, moment))
        except BaseException:
            for account in accounts[: len(self._days)]:
                account.end()
            raise

    def settle(self, usage: Usage) -> None:
        """Pay what it did cost; more than was reserved becomes debt. Only the first time counts."""
        self._pay(usage.tokens)

    def refund(self) -> None:
        """Nothing reached the model: the tokens come back, the request stays counted."""
        self._pay(0)

    def headers(self) -> dict[str, str]:
        """What is left to this caller; the tenant's own figures would tell of others."""
        return rate_headers(self._accounts[0], self._now())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for account in self._accounts:
            account.end()

    def _pay(self, tokens: int) -> None:
        if self._settled:
            return
        self._settled = True
        moment = self._now()
        for account, day in zip(self._accounts, self._days, strict=True):
            # A store that fails now leaves the reserve counted: more than was spent, never less, and the
            # answer is on its way already.
            with suppress(Exception):
                account.correct(tokens - self.reserved_tokens, day, moment)
