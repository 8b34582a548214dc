"""A stream, event by event: what is read, what is said again, where it stops."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkhead_sandbox.gateway.content import Scanner, Tags, UnsafeOutput
from bulkhead_sandbox.gateway.limits import Usage
from bulkhead_sandbox.gateway.model.answers import Garbage, read_answer, read_vectors
from bulkhead_sandbox.gateway.model.relay import MAX_EVENT_BYTES, Relay

TAGS = Tags(b"k" * 32, "uid")
SECRET = "sk-upstream-0123456789abcdefghijklmnop"


def relay(*, output_cap: int = 1000, wants_usage: bool = False) -> Relay:
    return Relay(
        {"id": "x", "created": 1, "model": "default"},
        Scanner(TAGS, {"model-key": SECRET}),
        "alice",
        output_cap=output_cap,
        input_tokens=11,
        wants_usage=wants_usage,
    )


def chunk(finish: str | None = None, usage: Any = None, **delta: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "stray": "text"}
    body = {"id": "upstream-id", "choices": [choice], "usage": usage, "system_fingerprint": "fp"}
    return b"data: " + orjson.dumps(body) + b"\n\n"


def spoken(out: bytes) -> list[Any]:
    found = [one.removeprefix(b"data: ") for one in out.split(b"\n\n") if one]
    return [orjson.loads(one) for one in found if one != b"[DONE]"]


def text(out: bytes) -> str:
    return "".join(one["choices"][0]["delta"].get("content", "") for one in spoken(out) if one["choices"])


def test_only_known_fields_are_said_again() -> None:
    """A server's own ids, fingerprints and extras tell of its insides and of others."""
    (said,) = spoken(relay().feed(chunk(content="hi", reasoning_content="secret", audio={"x": 1})))
    assert {
        "id": "x",
        "created": 1,
        "model": "default",
        "object": "chat.completion.chunk",
        "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": "hi"}, "finish_reason": None},
        ],
    } == said


@given(st.lists(st.text(max_size=12), max_size=8), st.data())
def test_the_text_is_the_same_wherever_the_network_cuts(pieces: list[str], data: st.DataObject) -> None:
    """TCP knows no events and no characters."""
    sent = b"".join(chunk(content=piece) for piece in pieces) + chunk("stop") + b"data: [DONE]\n\n"
    one, out, at = relay(), b"", 0
    while at < len(sent):
        size = data.draw(st.integers(1, len(sent) - at))
        out += one.feed(sent[at : at + size])
        at += size
    out += one.end()
    assert "".join(pieces) == text(out)
    assert "".join(pieces) == one.message()["content"]
    assert out.endswith(b"data: [DONE]\n\n")


def test_half_a_canary_never_leaves() -> None:
    """What was sent cannot be called back."""
    canary = TAGS.canary("alice", "s")
    out: list[bytes] = []
    one = relay()
    with pytest.raises(UnsafeOutput):
        out.extend(one.feed(chunk(content=letter)) for letter in f"it is {canary}, you know")
    assert text(b"".join(out)) in {"it is ", "it is b", "it is bh"}


def test_a_canary_in_the_arguments_of_a_tool_call_never_leaves() -> None:
    """A tool is as good a way out as any."""
    canary = TAGS.canary("alice", "s")
    out: list[bytes] = []
    one = relay()
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": '{"q": "'}}
    out.append(one.feed(chunk(tool_calls=[call])))
    pieces = [{"index": 0, "function": {"arguments": letter}} for letter in f'{canary}"}} and so on']
    with pytest.raises(UnsafeOutput):
        out.extend(one.feed(chunk(tool_calls=[piece])) for piece in pieces)
    said = spoken(b"".join(out))
    parts = [one["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"] for one in said]
    assert "".join(parts) in {'{"q": "', '{"q": "b', '{"q": "bh'}


def test_a_secret_is_replaced_though_it_comes_in_pieces() -> None:
    """The server's own key, say."""
    one = relay()
    out = b"".join(one.feed(chunk(content=letter)) for letter in f"key {SECRET}!") + one.feed(chunk("stop"))
    assert "key [redacted:model-key]!" == text(out)


def test_what_was_held_back_comes_before_the_reason() -> None:
    """Else the end of an answer would be missing, or come after its end."""
    one = relay()
    out = one.feed(chunk(content="look: bhc")) + one.feed(chunk("stop"))
    assert ("look: bhc", "stop") == (text(out), spoken(out)[-1]["choices"][0]["finish_reason"])


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"data: {}\n\n", "choices"),
        (b"data: []\n\n", "no-object"),
        (b"data: nope\n\n", "no-json"),
        (b'data: {"error": {"message": "x"}, "choices": []}\n\n', "error-event"),
        (b'data: {"choices": [{"index": 1, "delta": {}}]}\n\n', "choice"),
        (b'data: {"choices": [{"delta": {}}, {"delta": {}}]}\n\n', "choices"),
        (b'data: {"choices": [{"index": 0}]}\n\n', "no-delta"),
        (chunk(content=["x"]), "content"),
        (chunk(tool_calls={"a": 1}), "tool-calls"),
        (chunk(tool_calls=[{"index": 99, "function": {}}]), "tool-call"),
        (chunk(tool_calls=[{"index": 0, "function": {"name": "a\nb"}}]), "tool-name"),
        (chunk(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}]), "tool-call"),
        (b"data: " + b"x" * MAX_EVENT_BYTES, "event-too-large"),
    ],
)
def test_garbage_ends_the_stream(sent: bytes, reason: str) -> None:
    """What one cannot read one cannot look through."""
    with pytest.raises(Garbage, match=rf"^{reason}$"):
        relay().feed(sent)


def test_a_stream_that_ends_without_a_reason_was_cut_off() -> None:
    """Half an answer must not look like a whole one."""
    one = relay()
    one.feed(chunk(content="half of"))
    with pytest.raises(Garbage, match=r"^cut-off$"):
        one.end()


@pytest.mark.parametrize(
    "sent",
    [
        [chunk(content="one"), chunk(content=" two"), chunk(content=" three")],
        [chunk(content="one two", usage={"prompt_tokens": 5, "completion_tokens": 3})],
        [chunk(content="x" * 4161)],
        [chunk(reasoning_content="hm"), chunk(reasoning_content="hm"), chunk(content="three")],
    ],
    ids=["pieces", "counted", "bytes", "unseen"],
)
def test_what_is_beyond_the_cap_is_not_passed_on(sent: list[bytes]) -> None:
    """However it shows: by pieces, by the server's own count, by bytes, or in thoughts that nobody sees."""
    one = relay(output_cap=2)
    out = b"".join(map(one.feed, sent))
    assert (True, True, "length") == (one.done, one.cut, one.finish)
    assert spoken(out)[-1]["choices"][0]["finish_reason"] == "length"
    assert len(text(out).split()) <= 2
    assert b"" == one.feed(chunk(content="more"))


def test_usage_is_the_servers_where_it_counts_and_a_guess_where_not() -> None:
    """The bill."""
    counted, guessed = relay(wants_usage=True), relay(wants_usage=True)
    for one in (counted, guessed):
        one.feed(chunk(content="123456789"))
    counted.feed(chunk("stop"))
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    counted.feed(b"data: " + orjson.dumps({"choices": [], "usage": usage}) + b"\n\n")
    assert (Usage(5, 2, 4), Usage(11, 3, estimated=True)) == (counted.usage(), guessed.usage())
    told = spoken(counted.feed(b"data: [DONE]\n\n"))[-1]["usage"]
    assert {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7} == told


@pytest.mark.parametrize(
    "usage", [{"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": 1e9}, "many", {}, [1]]
)
def test_a_count_that_cannot_be_is_none(usage: Any) -> None:
    """A negative bill would fill the bucket."""
    one = relay()
    one.feed(chunk(content="123", usage=usage))
    assert one.usage().estimated


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": null}]}',
        b'{"choices": [{"message": {"content": 1}}]}',
        b'{"choices": [{"message": {"tool_calls": [{"function": {"name": "a"}}]}}]}',
        b"\xff\xfe",
    ],
)
def test_a_whole_answer_that_is_none_is_garbage(body: bytes) -> None:
    """The same for answers that do not stream."""
    with pytest.raises(Garbage):
        read_answer(body)


@pytest.mark.parametrize(
    "items",
    [
        [],
        [{"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": []}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": ["x"]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [True]}],
        [{"index": 0, "embedding": [1.0]}, "x"],
    ],
)
def test_vectors_that_are_not_one_a_text_are_garbage(items: list[Any]) -> None:
    """A vector under another text's name is worse than none."""
    with pytest.raises(Garbage):
        read_vectors(orjson.dumps({"data": items}), 2)
