"""What a CONNECT asks for, read so strictly that no two programs could read it differently."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

__all__ = ["Address", "BadTarget", "Target", "host_name", "parse_target"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_MAX_NAME: Final = 253  # octets, RFC 1035
_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
# The last label starts with a letter: resolvers read 127.1, 0x7f000001 and 2130706433 as addresses.
_NAME: Final = re.compile(rf"({_LABEL}\.)*[a-z]([-a-z0-9]{{0,61}}[a-z0-9])?", re.ASCII)
_AUTHORITY: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:]+)):(?P<port>[1-9][0-9]{0,4})"
)


class BadTarget(ValueError):
    """It names no host and port in a form that is accepted here."""


@dataclass(frozen=True, slots=True)
class Target:
    """A host name in lower case without a final dot, or an address; and a port."""

    host: str | Address
    port: int


def host_name(text: str) -> str:
    """The one spelling of a host name; BadTarget for anything but letters, digits, hyphens and dots.

    Names beyond ASCII come as A-labels (xn--...): that is what goes into DNS, SNI and certificates.
    """
    name = text.lower().removesuffix(".")
    if len(name) > _MAX_NAME or not text.isascii() or not _NAME.fullmatch(name):
        raise BadTarget("not a host name")
    return name


def parse_target(authority: str) -> Target:
    """The target in the authority form of RFC 9112: `name:443`, `203.0.113.7:443`, `[2001:db8::7]:443`."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None or not authority.isascii():
        raise BadTarget("not host:port")
    port = int(match["port"])
    if port > 65535:
        raise BadTarget("no such port")
    try:
        if match["v6"]:
            return Target(ipaddress.IPv6Address(match["v6"]), port)
        if match["host"][-1].isdigit():
            return Target(ipaddress.IPv4Address(match["host"]), port)
    except ValueError as error:
        raise BadTarget("not an address") from error
    return Target(host_name(match["host"]), port)
