"""What calls cost, as numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["NO_TOKENS", "Estimate", "Moment", "Usage"]

_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a call may cost at most, before it is made."""

    input_tokens: int
    output_tokens: int  # as asked for; the admission may grant less


NO_TOKENS: Final = Estimate(0, 0)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call did cost; `estimated`: nobody counted, it is delivered bytes / 3."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    estimated: bool = False

    @property
    def tokens(self) -> int:
        """What counts against limits; cached input counts in full, since the caller asked for it."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True, slots=True)
class Moment:
    """Now, on both clocks."""

    seconds: float  # never goes back
    wall: float  # since 1970

    @property
    def day_number(self) -> int:
        """Days since 1970 in UTC."""
        return int(self.wall // _DAY_SECONDS)

    @property
    def seconds_to_midnight(self) -> float:
        """Until the next day begins in UTC."""
        return _DAY_SECONDS - self.wall % _DAY_SECONDS
