"""Host names and image patterns: what may be written, and for all else the one reason why not.

Each syntax is an anchored pattern that decides, and a list of faults that only explain. Both are regular
expressions that RE2 (in the API server, through CEL) and Python read alike, so that admission and operator
give the same answer in the same words. A fault may assume that those before it were not found; the first
one finds line ends, so `$` means the end.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HOST", "IMAGE_ALLOWANCE", "Syntax", "host_admitted_by", "host_fault", "image_admitted_by"]


class Syntax(NamedTuple):
    """What a text must be like."""

    pattern: str  # anchored; decides
    faults: tuple[tuple[str, str], ...]  # what is found in the text -> what is allowed instead
    meaning: str  # what is allowed, if no fault is found

    def fault(self, text: str) -> str | None:
        """What is allowed instead of this text, or None: it may be written."""
        if re.fullmatch(self.pattern.removeprefix("^").removesuffix("$"), text):
            return None
        return next((allowed for found, allowed in self.faults if re.search(found, text)), self.meaning)


_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_UNPRINTABLE: Final = (r"[\x00-\x20\x7f]", "no blanks or control characters")

HOST: Final = Syntax(
    # Two labels at least, the last one not numeric: neither an address nor a cluster-local short name fits.
    rf"^(\*\.)?({_LABEL}\.)+[a-z]([-a-z0-9]{{0,61}}[a-z0-9])?$",
    (
        _UNPRINTABLE,
        (r"[^\x00-\x7f]", "an international name in its ASCII form, xn--..."),
        (r"//", "a name without a scheme"),
        (r"@", "a name without a user"),
        (r"%", "a name without percent-encoding or zone"),
        (r"[\[\]]|:.*:", "a name, not an address; cidr takes addresses, such as 2001:db8::7/128"),
        (r"[/?#\\]", "a name without a path; cidr takes ranges"),
        (r":", "a name without a port; ports takes ports"),
        (r"_", "no underscore"),
        (r"[A-Z]", "lower case"),
        (r"^\*\.?[^.*]*\.?$", "no wildcard this wide; *.example.com stands for one more label"),
        (r".\*|^\*[^.]", "a wildcard only as the whole first label, *.example.com"),
        (r"[^-.*a-z0-9]", "letters, digits, hyphens and dots"),
        (r"\.$", "no dot at the end"),
        (r"^\.|\.\.", "no empty label"),
        (r"(^|\.)(0x[0-9a-f]*|[0-9]+)$", "a name, not an address in any spelling; cidr takes addresses"),
        (r"[^.]{64}", "labels of at most 63 characters"),
        (r"(^|\.)-|-(\.|$)", "no hyphen at the ends of a label"),
        (r"^[^.]*$", "two labels or more"),
        (r"\.[0-9][^.]*$", "a last label that starts with a letter"),
    ),
    "a lower-case DNS name such as api.example.com, or *. before one for one more label",
)
IMAGE_ALLOWANCE: Final = Syntax(
    r"^[A-Za-z0-9][-A-Za-z0-9._:@]*(/[-A-Za-z0-9._:@]+)*(/[-A-Za-z0-9._:@]*\*)?$",
    (
        _UNPRINTABLE,
        (r"//", "a reference without a scheme or an empty part"),
        (r"\*.", "one wildcard, at the end"),
        (r"^[^/]*\*", "no wildcard this wide; at least a registry and a slash before it, registry.example/*"),
    ),
    "an image reference, or the start of one and *: registry.example/agents/*",
)

_ACE: Final = "xn--"
_JOINING: Final = (
    "-\u00b7\u0375\u05f3\u05f4\u200c\u200d\u30fb"  # RFC 5892, appendix A: allowed in some context
)


def host_fault(text: str) -> str | None:
    """As `HOST.fault`, and an ASCII form must be one: CEL cannot decode it."""
    fault = HOST.fault(text)
    if fault is None and not all(_is_label(label) for label in text.split(".")):
        return "labels that start with xn-- only as the ASCII form of an international name (RFC 5891)"
    return fault


def _is_label(label: str) -> bool:
    """Whether the label, if it begins as an ASCII form, is the one form of a name that needs one."""
    if not label.startswith(_ACE):
        return True
    encoded = label.removeprefix(_ACE)
    try:
        decoded = encoded.encode("ascii").decode("punycode")
        again = decoded.encode("punycode").decode("ascii")
    except UnicodeError:
        return False
    canonical = unicodedata.normalize("NFKC", decoded).lower()
    letters = (each for each in decoded if each not in _JOINING)
    return (
        not decoded.isascii()
        and (again, canonical) == (encoded, decoded)
        and all(unicodedata.category(each)[0] in "LMN" for each in letters)
    )


def host_admitted_by(host: str, allowed: Iterable[str]) -> bool:
    """Whether every name that `host` stands for is covered by one of the allowed patterns.

    "*.example.com" covers exactly one more label, anything else covers itself.
    """
    patterns = set(allowed)
    _, dot, parent = host.partition(".")
    return host in patterns or (bool(dot) and not host.startswith("*.") and f"*.{parent}" in patterns)


def image_admitted_by(image: str, allowed: Iterable[str]) -> bool:
    """Whether a pattern covers the image as it is written: "…*" whatever begins so, anything else itself."""
    return any(image.startswith(each[:-1]) if each.endswith("*") else image == each for each in allowed)
