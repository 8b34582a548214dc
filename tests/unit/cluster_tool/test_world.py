"""The world's servers: what they answer is the positive control of every network test."""

from __future__ import annotations

import struct

import pytest

from cluster.world import dns
from cluster.world.hosts import ALLOWED, PRIVATE, owner


def _query(name: str, kind: int = dns.TYPE_A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return (
        b"\x12\x34\x01\x00" + struct.pack("!HHHH", 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)
    )


def _ask(name: str, kind: int = dns.TYPE_A) -> tuple[int, list[str]]:
    """(response code, addresses) of an answer."""
    reply = dns.answer(_query(name, kind), "198.19.0.9", "udp")
    identity, flags, questions, answers = struct.unpack_from("!HHHH", reply)
    assert (0x1234, 1) == (identity, questions)
    addresses = [".".join(str(byte) for byte in reply[-4:])] if answers else []
    return flags & 0xF, addresses


def test_dns_knows_the_names_of_the_world_in_any_case() -> None:
    """Resolvers mix the case of letters on purpose."""
    assert (0, [ALLOWED]) == _ask("allowed.world.test")
    assert (0, [ALLOWED]) == _ask("ALLOWED.World.test")


def test_a_name_that_leads_to_a_private_address_is_there() -> None:
    """Egress must refuse it; with no answer at all the test would prove nothing."""
    assert (0, [PRIVATE]) == _ask("rebind.world.test")


def test_the_flipping_name_answers_differently_the_second_time() -> None:
    """Whoever checks one answer and dials another is caught by it."""
    assert {ALLOWED, PRIVATE} == {_ask("flip.world.test")[1][0], _ask("flip.world.test")[1][0]}


def test_other_names_do_not_exist_and_other_types_are_empty() -> None:
    """A quick no keeps tests fast; a missing AAAA is no missing name."""
    assert (dns.NXDOMAIN, []) == _ask("example.org")
    assert (0, []) == _ask("allowed.world.test", kind=28)


@pytest.mark.parametrize("packet", [b"", b"\x12\x34", b"\0" * 12 + b"\xff" * 8, b"\0" * 12 + b"\x05ab"])
def test_dns_stays_silent_on_nonsense(packet: bytes) -> None:
    """A probe that sends garbage must not end the server."""
    assert b"" == dns.answer(packet, "198.19.0.9", "udp")


def test_an_address_is_named_after_its_first_owner() -> None:
    """The journal is read by name."""
    assert ("allowed.world.test", "private.world.test", "192.0.2.1") == (
        owner(ALLOWED),
        owner(PRIVATE),
        owner("192.0.2.1"),
    )
