"""How many tokens a text is likely to be, before anybody has counted: learned for each model."""

from __future__ import annotations

import math
from typing import Final

__all__ = ["BYTES_PER_TOKEN", "Ratio", "tokens_of_bytes"]

BYTES_PER_TOKEN: Final = 3  # below the 3.5 to 4.5 of most prose, so that the guess is rather too high
_FEWEST_BYTES: Final = 64  # shorter texts tell more of the model's template than of its tokens
# The guess rises at once and falls slowly and not far: who sends text of few tokens must not lower the guess
# for text of many.
_RISE: Final = 0.5
_FALL: Final = 0.05
_LEAST: Final = 1 / 6
_MOST: Final = 1.0  # byte-level vocabularies: no text has more tokens than bytes


def tokens_of_bytes(size: int) -> int:
    """ceil(size / 3)."""
    return -(-size // BYTES_PER_TOKEN)


class Ratio:
    """Tokens a byte of one model's input."""

    def __init__(self) -> None:
        self._value = 1 / BYTES_PER_TOKEN

    def tokens(self, size: int) -> int:
        """The guess for `size` bytes."""
        # A third is not exact in binary; without the rounding 300 bytes would be 101 tokens.
        return math.ceil(round(size * self._value, 6))

    def learn(self, size: int, tokens: int) -> None:
        """What the model counted for a text of `size` bytes."""
        if size < _FEWEST_BYTES or tokens <= 0:
            return
        seen = min(_MOST, max(_LEAST, tokens / size))
        weight = _RISE if seen > self._value else _FALL
        self._value += weight * (seen - self._value)
