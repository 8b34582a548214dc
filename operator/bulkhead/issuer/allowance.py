"""How often one caller may ask: a token bucket each, held for whoever asked lately. Pure."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

__all__ = ["Allowance"]

_CALLERS: Final = 4096


class Allowance:
    """`burst` at once and `per_second` in the long run, for each key."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # key -> (left, at)

    def take(self, key: str, now: float) -> float:
        """0: taken. Else the seconds after which it may be tried again; `now` is monotonic."""
        left, at = self._left.get(key, (self._burst, now))
        left = min(self._burst, left + max(0.0, now - at) * self._per_second)
        missing = 1.0 - left
        self._left[key] = (left if missing > 0 else left - 1.0, now)
        self._left.move_to_end(key)
        while len(self._left) > _CALLERS:  # whoever was silent longest has most of its bucket back
            self._left.popitem(last=False)
        return max(0.0, missing) / self._per_second
