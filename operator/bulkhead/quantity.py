"""Kubernetes quantities, exactly: no float, no loss.

Syntax and rounding follow k8s.io/apimachinery `pkg/api/resource`: a signed decimal number, then nothing or a
decimal suffix (n u m k M G T P E), a binary suffix (Ki Mi Gi Ti Pi Ei) or a decimal exponent (e3, E3). The
API server keeps no more than nano precision and rounds away from zero when a caller asks for whole units.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from bulkhead.errors import InvalidValue

__all__ = ["canonical", "exact", "format_bytes", "format_millicores", "millicores", "whole"]

_BINARY: Final = {"Ki": 1024, "Mi": 1024**2, "Gi": 1024**3, "Ti": 1024**4, "Pi": 1024**5, "Ei": 1024**6}
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SYNTAX: Final = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+))"
    r"(?:(?P<binary>[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]{1,2})|(?P<decimal>[numkMGTPE]?))"
)
_ALLOWED: Final = (
    "a quantity is a number and a suffix (m, k, M, G, T, P, Ki, Mi, Gi, Ti, Pi or none): 500m, 2Gi"
)


def exact(text: str, *, field: str = "quantity") -> Fraction:
    """The value in base units (cores, bytes, pieces), exact, so two quantities compare by their values."""
    return _parse(text, field)[0]


def whole(text: str, *, field: str = "quantity") -> int:
    """Base units, rounded away from zero like the API server's `Value()`: bytes for a memory quantity."""
    return _away_from_zero(exact(text, field=field))


def millicores(text: str, *, field: str = "quantity") -> int:
    """Thousandths of a core, rounded away from zero like the API server's `MilliValue()`."""
    return _away_from_zero(exact(text, field=field) * 1000)


def canonical(text: str, *, field: str = "quantity") -> str:
    """The spelling in which the API server stores it, so that a stored object equals a rendered one.

    The suffix family stays (1024Mi becomes 1Gi, 4000m becomes 4, 1000Ki stays), the number is an integer.
    """
    value, match = _parse(text, field)
    # Below 1024, or with a fraction of a byte, the server falls back to decimal suffixes (tried on 1.37).
    if match["binary"] and abs(value) >= 1024 and value.denominator == 1:
        return format_bytes(value.numerator)
    nano = _away_from_zero(value * 10**9)
    if nano == 0:
        return "0"
    exponent = -9
    while exponent < 18 and nano % 1000 == 0:
        nano //= 1000
        exponent += 3
    if match["exponent"]:
        return f"{nano}e{exponent}" if exponent else str(nano)
    return f"{nano}{next(suffix for suffix, power in _DECIMAL.items() if power == exponent)}"


def format_bytes(count: int) -> str:
    """Bytes with the largest binary suffix that needs no fraction: 1536 MiB is 1536Mi."""
    for suffix, factor in reversed(_BINARY.items()):
        if count and count % factor == 0:
            return f"{count // factor}{suffix}"
    return str(count)


def format_millicores(count: int) -> str:
    """Cores where they are whole, else thousandths: 2000 is 2, 250 is 250m."""
    return str(count // 1000) if count % 1000 == 0 else f"{count}m"


def _parse(text: str, field: str) -> tuple[Fraction, re.Match[str]]:
    match = _SYNTAX.fullmatch(text) if len(text) <= 64 else None
    if match is None:
        raise InvalidValue(field, text, _ALLOWED)
    factor = (
        Fraction(_BINARY[match["binary"]])
        if match["binary"]
        else Fraction(10) ** int(match["exponent"] or _DECIMAL[match["decimal"] or ""])
    )
    return Fraction(match["number"]) * factor, match


def _away_from_zero(value: Fraction) -> int:
    rounded = -(-abs(value.numerator) // value.denominator)
    return rounded if value >= 0 else -rounded
