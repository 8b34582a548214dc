"""The stand-in's answers: what the gateway's tests are measured by must itself be right."""

from __future__ import annotations

import json
from typing import Any

import pytest

from model_standin.answers import BEHAVIOURS, NAME, Reply, StandIn, embed


def ask(stand_in: StandIn | None = None, behaviour: str = "", **request: Any) -> Reply:
    body = {"model": NAME + behaviour, "messages": [{"role": "user", "content": "hello world"}], **request}
    model = stand_in or StandIn()
    return model.respond(
        "POST", "/v1/chat/completions", {"authorization": "Bearer k"}, json.dumps(body).encode()
    )


def whole(reply: Reply) -> Any:
    return json.loads(b"".join(reply.pieces))


def events(reply: Reply) -> list[str]:
    found = b"".join(reply.pieces).decode().split("\n\n")
    return [event.removeprefix("data: ") for event in found if event]


def said(reply: Reply) -> str:
    chunks = [json.loads(event) for event in events(reply)[:-1]]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"])


def test_the_model_says_in_its_answer_that_it_is_none() -> None:
    """Nobody may take its figures for a model's."""
    answer = whole(ask())
    assert answer["stand_in"] is True
    assert "stand-in for tests, no model: hello world" == answer["choices"][0]["message"]["content"]
    assert (2, 7, 9) == tuple(answer["usage"][f"{name}_tokens"] for name in ("prompt", "completion", "total"))


def test_the_list_of_models_says_so_too() -> None:
    """The first thing that people look at."""
    answer = whole(StandIn().respond("GET", "/v1/models", {}, b""))
    assert [(NAME, "tests and demo only: there is no model here")] == [
        (model["id"], model["owned_by"]) for model in answer["data"]
    ]


def test_a_stream_says_the_same_as_a_plain_answer() -> None:
    """The gateway's two paths are compared by it."""
    plain = whole(ask())
    streamed = ask(stream=True, stream_options={"include_usage": True})
    assert plain["choices"][0]["message"]["content"] == said(streamed)
    *_, usage, done = events(streamed)
    assert (plain["usage"], "[DONE]") == (json.loads(usage)["usage"], done)


def test_a_token_limit_cuts_the_answer_and_says_so() -> None:
    """Budgets are tested against it."""
    choice = whole(ask(max_tokens=2))["choices"][0]
    assert ("length", "stand-in for") == (choice["finish_reason"], choice["message"]["content"])


def test_embeddings_of_texts_that_share_words_are_near_each_other() -> None:
    """Memory search needs an order that means something."""
    cat, same, far = (
        embed(text, 64) for text in ("the black cat", "the black cats cat", "interest rates rose")
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
    assert status == StandIn().respond(method, path, {}, body).status


def test_the_whole_context_comes_back_where_that_is_asked_for() -> None:
    """The worst case of a model that leaks: system text too."""
    messages = [{"role": "system", "content": "secret tag"}, {"role": "user", "content": "hi"}]
    assert "secret tag" in said(ask(behaviour=":context", stream=True, messages=messages))
    assert "secret tag" not in said(ask(stream=True, messages=messages))


def test_split_pieces_are_no_utf_8_by_themselves_and_together_they_are() -> None:
    """Else the gateway's reading of cut characters is not tested at all."""
    messages = [{"role": "user", "content": "grüße 🌍"}]
    reply = ask(behaviour=":split", stream=True, messages=messages)
    broken = 0
    for piece in reply.pieces:
        try:
            piece.decode()
        except UnicodeDecodeError:
            broken += 1
    assert broken >= 4
    assert said(reply).endswith("grüße 🌍")


def test_prefixes_are_hits_under_the_same_salt_only() -> None:
    """Two tenants that share a hit can time each other's prompts."""
    stand_in = StandIn()
    prompt = [{"role": "user", "content": "one two three four five six seven eight nine"}]

    def cached(salt: str, text: list[dict[str, str]]) -> int:
        reply = ask(stand_in, messages=text, cache_salt=salt)
        return int(reply.headers["X-Stand-In-Cached-Tokens"])

    assert [0, 8, 0, 8] == [cached(salt, prompt) for salt in ("a", "a", "b", "b")]
    other = [{"role": "user", "content": "one two three four 5 6 7 8 nine"}]
    assert 4 == cached("a", other)
    late = [{"role": "user", "content": "0 two three four five six seven eight"}]
    assert 0 == cached("a", late)
    metrics = stand_in.respond("GET", "/metrics", {}, b"").pieces[0].decode()
    assert "stand_in_prefix_cache_hit_tokens 20\n" in metrics


@pytest.mark.parametrize("behaviour", sorted(BEHAVIOURS))
def test_every_behaviour_that_is_listed_does_something(behaviour: str) -> None:
    """A name without effect makes a test that cannot fail."""
    tools = [{"type": "function", "function": {"name": "look"}}]
    request: dict[str, Any] = {
        "tools": tools,
        "max_tokens": 6,
        "messages": [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hello ü"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    usual, other = ask(**request), ask(behaviour=f":{behaviour}", **request)

    def seen(reply: Reply) -> tuple[Any, ...]:
        text = [piece.replace(f":{behaviour}".encode(), b"") for piece in reply.pieces]
        ids = [piece.split(b'"created"')[-1] for piece in text]
        return reply.status, ids, reply.end, reply.pause_seconds

    assert seen(usual) != seen(other)
