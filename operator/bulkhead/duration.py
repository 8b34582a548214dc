"""Durations as Kubernetes users write them: `8h`, `1h30m`, `90s`.

Hours, minutes and seconds, each at most once and in this order. There are no days: a week is `168h`, because
`kubectl`, CEL's `duration()` and Go read no other unit, and one spelling everywhere is worth more than a
shorter one in one place.
"""

from __future__ import annotations

import re
from typing import Final

from bulkhead.errors import InvalidValue

__all__ = ["DURATION_PATTERN", "format_seconds", "seconds"]

# The digits are bounded so that no sum leaves the 64-bit nanoseconds of Go and CEL (292 years).
DURATION_PATTERN: Final = r"^([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$"
_SYNTAX: Final = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,8})s)?")
_ALLOWED: Final = (
    "a duration is hours, minutes and seconds in this order, such as 8h, 1h30m or 90s (a week is 168h)"
)


def seconds(text: str, *, field: str = "duration") -> int:
    """Whole seconds; 0 for "0s". Whether zero makes sense is the field's business."""
    match = _SYNTAX.fullmatch(text)
    if match is None or not text:
        raise InvalidValue(field, text, _ALLOWED)
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + rest


def format_seconds(count: int) -> str:
    """The shortest spelling that `seconds` reads back: 5400 is 1h30m, 0 is 0s."""
    hours, rest = divmod(count, 3600)
    minutes, left = divmod(rest, 60)
    parts = ((hours, "h"), (minutes, "m"), (left, "s"))
    return "".join(f"{amount}{unit}" for amount, unit in parts if amount) or "0s"
