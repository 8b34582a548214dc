from __future__ import annotations

import ipaddress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkhead_sandbox.config import ConfigError, EgressRuleConfig
from bulkhead_sandbox.egress.request import BadRequest, ProxyRequest, parse_head
from bulkhead_sandbox.egress.rules import DeniedRanges, Rules
from bulkhead_sandbox.egress.target import BadTarget, Target, host_name, parse_target


def rules(*hosts: str, cidrs: tuple[str, ...] = (), ports: tuple[int, ...] = (443,)) -> Rules:
    configs = [EgressRuleConfig(host=host, ports=ports) for host in hosts]
    return Rules.read(
        [*configs, *(EgressRuleConfig(cidr=cidr, ports=ports) for cidr in cidrs)], "listeners[0]"
    )


GOOD_TARGETS: dict[str, Target] = {
    "api.example.com:443": Target("api.example.com", 443),
    "API.Example.COM:443": Target("api.example.com", 443),
    "api.example.com.:443": Target("api.example.com", 443),
    "xn--bcher-kva.example:443": Target("xn--bcher-kva.example", 443),
    "203.0.113.7:22": Target(ipaddress.IPv4Address("203.0.113.7"), 22),
    "[2001:db8::7]:443": Target(ipaddress.IPv6Address("2001:db8::7"), 443),
    "[::ffff:10.0.0.1]:443": Target(ipaddress.IPv6Address("::ffff:10.0.0.1"), 443),
}


@pytest.mark.parametrize(("text", "target"), GOOD_TARGETS.items(), ids=GOOD_TARGETS.keys())
def test_target_has_one_spelling(text: str, target: Target) -> None:
    """A list could be passed by writing a name another way."""
    assert parse_target(text) == target


BAD_TARGETS = [
    "",
    "api.example.com",
    "api.example.com:",
    "api.example.com:0",
    "api.example.com:0443",
    "api.example.com:+443",
    "api.example.com:65536",
    "api.example.com:443:443",
    "api.example.com..:443",
    ".api.example.com:443",
    "api..example.com:443",
    "evil.example\0.api.example.com:443",
    "api.example.com\r\nX: y:443",
    "api.example.com%00:443",
    "api%2eexample.com:443",
    "user@api.example.com:443",
    "api_x.example.com:443",
    "-api.example.com:443",
    "api-.example.com:443",
    "*.example.com:443",
    "bücher.example:443",
    "api.example\u3002com:443",
    f"{'a' * 64}.example:443",
    f"{'.'.join(['a' * 62] * 4)}.com:443",
    "http://api.example.com:443",
    "127.1:443",
    "127.0.0.1.:443",
    "0177.0.0.1:443",
    "0x7f000001:443",
    "2130706433:443",
    "1.2.3.4.5:443",
    "[fe80::1%eth0]:443",
    "[api.example.com]:443",
    "[::1:443",
    "::1:443",
]


@pytest.mark.parametrize("text", BAD_TARGETS, ids=repr)
def test_target_with_two_readings_is_refused(text: str) -> None:
    """The list judges one name, the resolver looks up another (`evil NUL good`, 0x7f000001)."""
    with pytest.raises(BadTarget):
        parse_target(text)


@given(st.text(max_size=40) | st.from_regex(r"[a-z0-9.:\[\]%-]{1,40}", fullmatch=True))
@example("a:1")
def test_whatever_is_accepted_is_plain(text: str) -> None:
    """Any character that a resolver, a log or a TLS stack reads in its own way."""
    try:
        target = parse_target(text)
    except BadTarget:
        return
    if isinstance(target.host, str):
        assert host_name(target.host) == target.host
        assert set(target.host) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")


def test_empty_list_denies_everything() -> None:
    """CVE-2025-66479 was an empty list that meant all."""
    nothing = Rules.read([], "listeners[0]")
    assert not [text for text in GOOD_TARGETS if nothing.admit(parse_target(text))]


JUDGED = {
    ("api.example.com", "api.example.com:443"): True,
    ("API.example.com.", "api.example.com:443"): True,
    ("api.example.com", "api.example.com:8443"): False,
    ("api.example.com", "xapi.example.com:443"): False,
    ("api.example.com", "api.example.com.evil.example:443"): False,
    ("api.example.com", "example.com:443"): False,
    ("*.example.com", "a.example.com:443"): True,
    ("*.example.com", "a.b.example.com:443"): False,
    ("*.example.com", "example.com:443"): False,
    ("*.example.com", "aexample.com:443"): False,
    ("api.example.com", "203.0.113.7:443"): False,
}


@pytest.mark.parametrize(("rule", "target"), JUDGED, ids=" ".join)
def test_host_rule_admits_exactly_what_it_names(rule: str, target: str) -> None:
    """A suffix that is no label, a port that is not listed, an address in place of a name."""
    assert rules(rule).admit(parse_target(target)) is JUDGED[rule, target]


def test_range_rule_admits_addresses_only() -> None:
    """A name that points into the range was never listed."""
    listed = rules(cidrs=("203.0.113.0/24", "2001:db8::/32"))
    asked = ["203.0.113.7:443", "[2001:db8::7]:443", "203.0.114.7:443", "203.0.113.7:80", "a.example.com:443"]
    assert [listed.admit(parse_target(text)) for text in asked] == [True, True, False, False, False]


BAD_RULES: dict[str, dict[str, str]] = {
    "neither": {},
    "both": {"host": "a.example", "cidr": "203.0.113.0/24"},
    "all": {"host": "*"},
    "a whole top level": {"host": "*.com"},
    "wildcard inside": {"host": "a.*.example.com"},
    "wildcard label": {"host": "a*.example.com"},
    "two wildcards": {"host": "*.*.example.com"},
    "address": {"host": "203.0.113.7"},
    "one label": {"host": "localhost"},
    "host bits": {"cidr": "203.0.113.7/24"},
    "no range": {"cidr": "x"},
}


@pytest.mark.parametrize("rule", BAD_RULES.values(), ids=BAD_RULES.keys())
def test_rule_that_cannot_be_meant_stops_the_start(rule: dict[str, str]) -> None:
    """A rule that is skipped or widened in silence."""
    with pytest.raises(ConfigError, match=r"listeners\[0\].rules\[0\]"):
        Rules.read([EgressRuleConfig(ports=(443,), **rule)], "listeners[0]")


DENIED = DeniedRanges.read(["10.0.0.0/8", "169.254.0.0/16", "::ffff:0:0/96", "64:ff9b::/96", "fc00::/7"])
COVERED = {
    "10.1.2.3": True,
    "169.254.169.254": True,
    "::ffff:10.0.0.1": True,
    "::ffff:203.0.113.7": True,
    "64:ff9b::a00:1": True,
    "fd00::1": True,
    "203.0.113.7": False,
    "2001:db8::1": False,
}


@pytest.mark.parametrize(("address", "covered"), COVERED.items(), ids=COVERED.keys())
def test_denied_ranges_cover_every_way_to_write_an_address(address: str, covered: bool) -> None:  # noqa: FBT001
    """Metadata at ::ffff:169.254.169.254; and 203.0.113.0/24 is denied by Python's own `is_private`."""
    assert DENIED.cover(ipaddress.ip_address(address)) is covered


def test_mapped_address_is_denied_by_the_ipv4_range_alone() -> None:
    """A class's own list need not think of IPv6 spellings."""
    assert DeniedRanges.read(["10.0.0.0/8"]).cover(ipaddress.ip_address("::ffff:10.0.0.1"))


def test_bad_denied_range_stops_the_start() -> None:
    """A typing error would open what it was to close."""
    with pytest.raises(ConfigError, match=r"denied_cidrs\[1\]"):
        DeniedRanges.read(["10.0.0.0/8", "10.0.0.0/33"])


HEADS: dict[bytes, ProxyRequest | None] = {
    b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n": ProxyRequest(
        "CONNECT", "a.example:443"
    ),
    b"CONNECT a.example:443 HTTP/1.0\r\n\r\n": ProxyRequest("CONNECT", "a.example:443"),
    b"GET http://a.example/ HTTP/1.1\r\n\r\n": ProxyRequest("GET", "http://a.example/"),
    b"CONNECT a.example:443 HTTP/2\r\n\r\n": None,
    b"CONNECT a.example:443\r\n\r\n": None,
    b"CONNECT  a.example:443 HTTP/1.1\r\n\r\n": None,
    b"CONNECT a.example:443 HTTP/1.1\n\r\n\r\n": None,
    b"CONNECT a.example:443 HTTP/1.1\r\nHost: a\nX: y\r\n\r\n": None,
    b"CONNECT a.example:443 HTTP/1.1\r\nHost: a\0b\r\n\r\n": None,
    b"CONNECT a.example:443 HTTP/1.1\r\n folded\r\n\r\n": None,
    b"CONNECT a.example:443 HTTP/1.1\r\nHost : a\r\n\r\n": None,
    b"CONNECT a\xff.example:443 HTTP/1.1\r\n\r\n": None,
    b"\x16\x03\x01\r\n\r\n": None,
    b"\r\n\r\n": None,
}


@pytest.mark.parametrize(("head", "request_line"), HEADS.items(), ids=[repr(head[:40]) for head in HEADS])
def test_head_is_read_strictly(head: bytes, request_line: ProxyRequest | None) -> None:
    """A line that two programs end in different places carries a second request."""
    if request_line is None:
        with pytest.raises(BadRequest):
            parse_head(head)
    else:
        assert parse_head(head) == request_line
