"""The operator's denied ranges, as the egress proxy reads them: two programs, one list."""

from __future__ import annotations

import ipaddress

import pytest

from bulkhead.api.ranges import DENIED_CIDRS
from bulkhead_sandbox.egress.rules import DeniedRanges

DENIED = DeniedRanges.read(DENIED_CIDRS)

# What the DNS of a listed host could answer to lead somewhere else.
TRICKS = {
    "metadata": "169.254.169.254",
    "metadata, IPv4-mapped": "::ffff:169.254.169.254",
    "metadata by NAT64": "64:ff9b::a9fe:a9fe",
    "metadata by a NAT64 of one's own": "64:ff9b:1::a9fe:a9fe",
    "metadata by 6to4": "2002:a9fe:a9fe::1",
    "metadata by Teredo": "2001:0:a9fe:a9fe::1",
    "metadata, IPv4-compatible": "::169.254.169.254",
    "metadata over IPv6": "fd00:ec2::254",
    "metadata at a public address": "168.63.129.16",
    "metadata behind carrier NAT": "100.100.100.200",
    "private": "10.0.0.1",
    "private, IPv4-mapped": "::ffff:192.168.1.1",
    "the proxy itself": "127.0.0.1",
    "the proxy itself over IPv6": "::1",
    "the proxy itself, as no address": "0.0.0.0",  # noqa: S104 - an answer, nobody listens there
    "the proxy itself, as no address over IPv6": "::",
    "neighbour on the link": "fe80::1",
    "neighbour on a named link": "fe80::1%eth0",
    "site-local": "fec0::1",
    "broadcast": "255.255.255.255",
    "multicast": "ff02::1",
}


@pytest.mark.parametrize("answer", TRICKS.values(), ids=TRICKS.keys())
def test_no_answer_leads_inside(answer: str) -> None:
    """Whoever holds a listed name's DNS reaches the cloud account, the node or the proxy itself."""
    assert DENIED.cover(ipaddress.ip_address(answer))


@pytest.mark.parametrize("answer", ["203.0.113.7", "8.8.8.8", "2001:db8::1", "2606:4700::1111"])
def test_public_answers_are_let_through(answer: str) -> None:
    """The control: a list that covers everything refuses everything."""
    assert not DENIED.cover(ipaddress.ip_address(answer))
