"""The world's servers: what they answer is the positive control of every network test."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest

from cluster.world import dns, model
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


def _chat(**request: Any) -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": "hello world"}], **request}
    return model.respond("POST", "/v1/chat/completions", json.dumps(body).encode())


def test_the_model_says_in_its_answer_that_it_is_none() -> None:
    """Nobody may take its figures for a model's."""
    status, reply = _chat()
    assert (200, True) == (status, reply["stand_in"])
    assert "stand-in for tests, no model: hello world" == reply["choices"][0]["message"]["content"]
    assert {"prompt_tokens": 2, "completion_tokens": 7, "total_tokens": 9} == reply["usage"]


def test_a_stream_says_the_same_as_a_plain_answer() -> None:
    """The gateway's two paths are compared by it."""
    _, plain = _chat()
    _, events = _chat(stream=True, stream_options={"include_usage": True})
    chunks = [json.loads(event) for event in events[:-1]]
    said = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])
    assert plain["choices"][0]["message"]["content"] == said
    assert (plain["usage"], "[DONE]") == (chunks[-1]["usage"], events[-1])


def test_a_token_limit_cuts_the_answer_and_says_so() -> None:
    """Budgets are tested against it."""
    _, reply = _chat(max_tokens=2)
    assert ("length", "stand-in for") == (
        reply["choices"][0]["finish_reason"],
        reply["choices"][0]["message"]["content"],
    )


def test_embeddings_of_texts_that_share_words_are_near_each_other() -> None:
    """Memory search needs an order that means something."""
    cat, same, far = (
        model.embed(text, 64) for text in ("the black cat", "the black cats cat", "interest rates rose")
    )

    def near(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert near(cat, same) > near(cat, far)
    assert abs(near(cat, cat) - 1.0) < 1e-9


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/models", b"", 200),
        ("POST", "/v1/chat/completions", b"{", 400),
        ("POST", "/v1/images", b"{}", 404),
    ],
)
def test_the_stand_in_answers_every_request(method: str, path: str, body: bytes, status: int) -> None:
    """An error must look like a model server's, not like a dead one."""
    assert status == model.respond(method, path, body)[0]
