"""Where tenant traffic may never go, and what counts as a range in a rule.

Pure (ipaddress only), shared by validation and by the renderer of NetworkPolicies.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from bulkhead.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ALWAYS_DENIED",
    "DENIED_CIDRS",
    "NEVER_A_SERVER",
    "canonical_cidr",
    "covering_range",
    "denied_within",
]

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Range -> why no tenant may ever reach it. Sources: IANA special-purpose registries, cloud documentation.
ALWAYS_DENIED: Final[dict[str, str]] = {
    "0.0.0.0/8": "this host (RFC 1122): some kernels route it to the node itself",
    "10.0.0.0/8": "private (RFC 1918): node, pod and corporate networks",
    "100.64.0.0/10": "shared address space (RFC 6598): carrier NAT, some clouds' metadata and pod networks",
    "127.0.0.0/8": "loopback",
    "169.254.0.0/16": "link-local (RFC 3927): cloud metadata at 169.254.169.254, node-local DNS",
    "172.16.0.0/12": "private (RFC 1918)",
    "192.0.0.0/24": "protocol assignments (RFC 6890): some clouds' metadata at 192.0.0.192",
    "192.168.0.0/16": "private (RFC 1918)",
    "224.0.0.0/4": "multicast",
    "240.0.0.0/4": "reserved and limited broadcast",
    "168.63.129.16/32": "Azure's platform service: metadata at a public address",
    "::/96": "no address (a connection to :: is one to oneself), loopback, and IPv4-compatible (RFC 4291)",
    "fc00::/7": "unique local (RFC 4193): private networks, cloud metadata over IPv6",
    "fe80::/10": "link-local",
    "fec0::/10": "site-local (RFC 3879): withdrawn, and private where it is still in use",
    "ff00::/8": "multicast",
    "::ffff:0:0/96": "IPv4-mapped: would reach a denied IPv4 range by another name",
    "64:ff9b::/96": "NAT64 (RFC 6052): would reach a denied IPv4 range by another name",
    "64:ff9b:1::/48": "NAT64 of one's own (RFC 8215): would reach a denied IPv4 range by another name",
    "2001::/32": "Teredo (RFC 4380): would reach a denied IPv4 range by another name",
    "2002::/16": "6to4 (RFC 3056): would reach a denied IPv4 range by another name",
}
DENIED_CIDRS: Final[tuple[str, ...]] = tuple(ALWAYS_DENIED)

_PRIVATE: Final = frozenset({"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"})
_METADATA_IN_PRIVATE: Final = ("100.100.100.200/32", "fd00:ec2::254/128")  # Alibaba Cloud; AWS over IPv6
# Where no server of an administrator's stands either: private ranges may hold one.
NEVER_A_SERVER: Final[tuple[str, ...]] = (
    *(cidr for cidr in DENIED_CIDRS if cidr not in _PRIVATE),
    *_METADATA_IN_PRIVATE,
)

_CIDR_ALLOWED: Final = "a range is an address, a slash and a prefix length, no host bits set: 203.0.113.0/24"
_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")


def canonical_cidr(text: str, *, field: str = "cidr") -> str:
    """The range in the one spelling that compares equal; refuses host bits, mapped and zoned addresses."""
    return str(_network(text, field))


def covering_range(cidr: str, ranges: Iterable[str]) -> str | None:
    """The range that contains the whole CIDR, adjoining ranges taken together, or None."""
    inner = _network(cidr, "cidr")
    merged = _merged(_network(text, "range") for text in ranges)
    return next((str(outer) for outer in merged if _contains(outer, inner)), None)


def denied_within(cidr: str, denied: Iterable[str]) -> tuple[str, ...] | None:
    """What an ipBlock for the CIDR must list under `except`, merged and sorted; None: nothing of it is left.

    Without the IPv4-mapped range: the API server refuses it in an ipBlock (1.37), and no packet carries it.
    """
    ranges = tuple(denied)
    if covering_range(cidr, ranges) is not None:
        return None
    outer = _network(cidr, "cidr")
    merged = _merged(_network(text, "range") for text in ranges)
    return tuple(
        str(inside) for inside in merged if _contains(outer, inside) and not _contains(_MAPPED, inside)
    )


def _contains(outer: _Network, inner: _Network) -> bool:
    if isinstance(outer, ipaddress.IPv4Network):
        return isinstance(inner, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(inner, ipaddress.IPv6Network) and inner.subnet_of(outer)


def _merged(networks: Iterable[_Network]) -> list[_Network]:
    """The fewest ranges that cover the same addresses, IPv4 first: a policy stays short and readable."""
    listed = list(networks)
    v4 = (network for network in listed if isinstance(network, ipaddress.IPv4Network))
    v6 = (network for network in listed if isinstance(network, ipaddress.IPv6Network))
    return [*ipaddress.collapse_addresses(v4), *ipaddress.collapse_addresses(v6)]


def _network(text: str, field: str) -> _Network:
    with_length = "/" in text and "%" not in text  # ipaddress also reads bare addresses and zones
    try:
        network = ipaddress.ip_network(text, strict=True) if with_length else None
    except ValueError:
        network = None
    if network is None:
        raise InvalidValue(field, text, _CIDR_ALLOWED)
    return network
