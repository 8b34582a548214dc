from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkhead.api import ranges
from bulkhead.errors import InvalidValue

small_ranges = st.builds(
    lambda number, bits: str(ipaddress.ip_network((number >> (32 - bits) << (32 - bits), bits))),
    st.integers(min_value=0xC6120000, max_value=0xC613FFFF),  # 198.18.0.0/15
    st.integers(min_value=15, max_value=22),
)


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "127.0.0.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.168.1.1",
        "172.31.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.1",
        "::",
        "::1",
        "::10.0.0.1",
        "fec0::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "64:ff9b:1::a00:1",
        "2001:0:a00:1::1",
        "2002:a00:1::1",
        "192.0.0.192",
    ],
)
def test_metadata_private_and_special_addresses_are_always_denied(address: str) -> None:
    """Each is a way to the node, the cloud account or the neighbours."""
    host = ipaddress.ip_network(address)

    assert ranges.covering_range(str(host), ranges.DENIED_CIDRS) is not None


@pytest.mark.parametrize(
    "cidr", ["8.8.8.0/24", "203.0.113.0/24", "2001:db8::/32", "0.0.0.0/0", "172.0.0.0/8"]
)
def test_public_ranges_are_not_wholly_denied(cidr: str) -> None:
    """Denying the internet would make egress useless."""
    assert ranges.covering_range(cidr, ranges.DENIED_CIDRS) is None


def test_everything_minus_the_denied_ranges_lists_each_once() -> None:
    """The except list of the egress proxy's policy; the API server refuses the IPv4-mapped range."""
    assert ranges.denied_within("::/0", ranges.DENIED_CIDRS) == (
        "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16",
        "fc00::/7", "fe80::/9", "ff00::/8",
    )  # fmt: skip
    assert ranges.denied_within("0.0.0.0/0", ("10.0.0.0/8", "10.1.0.0/16", "::1/128")) == ("10.0.0.0/8",)


def test_adjoining_ranges_deny_what_lies_across_them() -> None:
    """Neither covers the CIDR alone; taken one by one the block would stay open."""
    halves = ("198.18.0.0/16", "198.19.0.0/16")

    assert ranges.covering_range("198.18.0.0/15", halves) == "198.18.0.0/15"
    assert ranges.denied_within("198.18.0.0/15", halves) is None


@given(small_ranges, st.lists(small_ranges, max_size=8))
def test_no_denied_address_is_left_open(cidr: str, denied: list[str]) -> None:
    """Whatever the ranges: an address is open exactly if it is in the CIDR and in no denied range."""
    block = ipaddress.ip_network(cidr)
    fences = [ipaddress.ip_network(each) for each in denied]
    listed = ranges.denied_within(cidr, denied)
    exceptions = [ipaddress.ip_network(each) for each in listed or ()]

    assert all(each != block and each.subnet_of(block) for each in exceptions)
    edges = [address for each in [block, *fences] for address in (each[0], each[-1]) if address in block]
    for address in edges:
        open_by_rule = listed is not None and not any(address in each for each in exceptions)
        assert open_by_rule is not any(address in fence for fence in fences)


@pytest.mark.parametrize(
    "text", ["1.2.3.4", "1.2.3.4/33", "1.2.3.4/24", "::1%eth0/128", "x/8", "", "1.2.3.0/255.255.255.0x"]
)
def test_sloppy_ranges_are_refused(text: str) -> None:
    """Host bits and zones hide what is meant."""
    with pytest.raises(InvalidValue):
        ranges.canonical_cidr(text)


def test_ranges_are_spelled_in_one_way() -> None:
    """Two spellings of one range would look like drift."""
    assert ranges.canonical_cidr("2001:0DB8::/32") == "2001:db8::/32"
