"""The release that this source tree is: said by every role to whoever asks it."""

from __future__ import annotations

from typing import Final

__all__ = ["VERSION"]

VERSION: Final = "0.1.0"
