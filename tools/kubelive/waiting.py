"""Bounded waiting on a real system."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WaitTimeout", "wait_until"]

T = TypeVar("T")


class WaitTimeout(AssertionError):
    """What was waited for did not happen; the message says what was seen last."""


def wait_until(
    what: str,
    probe: Callable[[], T | None],
    *,
    timeout_seconds: float = 60,
    interval_seconds: float = 0.1,
    describe: Callable[[], str] | None = None,
) -> T:
    """The first value of `probe` that is neither None nor False, or WaitTimeout naming `what`."""
    deadline = time.monotonic() + timeout_seconds
    while True:
        value = probe()
        if value is not None and value is not False:
            return value
        if time.monotonic() >= deadline:
            seen = f"; last seen: {describe()}" if describe else ""
            raise WaitTimeout(f"{what}: not within {timeout_seconds:g} s{seen}")
        time.sleep(interval_seconds)
