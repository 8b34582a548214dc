"""Marks text of tools and documents as data: a random sign, unknown to its author, in place of its spaces."""

from __future__ import annotations

import re
from base64 import b32encode
from typing import Final

from bulkhead_sandbox.gateway.content.reserved import defused

__all__ = ["MAX_BYTES", "datamark", "new_marker"]

MAX_BYTES: Final = 32 * 1024  # of marked text in UTF-8
_CUT: Final = "(cut here)"
_SPACES: Final = re.compile(r"\s+")


def new_marker(random_bytes: bytes) -> str:
    """Six characters for one request, 20 bits of `random_bytes` in them: each word of the text costs one."""
    return f"^{b32encode(random_bytes[:5]).decode().lower()[:4]}^"


def datamark(text: str, marker: str) -> str:
    """`text` as a model should see it: what is visible, no template tokens, marked, at most MAX_BYTES.

    The author cannot have known the marker; where it occurs all the same, it was a space.
    """
    # Bounds the work: beyond this much text, what the cap lets through is filled but for freaks.
    words = _SPACES.sub(" ", defused(text[: 2 * MAX_BYTES].replace(marker, " "))).split(" ")
    marked = marker.join(words)
    data = marked.encode(errors="replace")
    if len(data) <= MAX_BYTES and len(text) <= 2 * MAX_BYTES:
        return data.decode()
    return data[: MAX_BYTES - len(marker) - len(_CUT)].decode(errors="ignore") + marker + _CUT
