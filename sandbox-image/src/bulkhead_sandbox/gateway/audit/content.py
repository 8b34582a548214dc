"""What stands in for content: the log says that a text was this one, and never what it was."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["content_mac"]

_PURPOSE: Final = b"bulkhead/v1/audit-content"


def content_mac(tag_key: bytes) -> Callable[[bytes], str]:
    """HMAC-SHA256 in hexadecimal; keyed, because a plain hash of a short text is guessed in no time."""
    key = hmac.digest(tag_key, _PURPOSE, "sha256")
    return lambda data: hmac.digest(key, data, "sha256").hex()
