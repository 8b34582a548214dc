"""The openai package, which nobody here wrote, against the gateway: what it reads is what users read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import openai
import pytest
from support.gateway_config import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from .conftest import Served

    Serve = Callable[..., AbstractAsyncContextManager[Served]]

HELLO: list[Any] = [{"role": "user", "content": "hello world"}]


def client(served: Served, *scopes: str) -> openai.AsyncOpenAI:
    """As its documentation says: a base URL and a key, here the session token."""
    token = served.world.token(*(scopes or ("chat", "embed")))
    return openai.AsyncOpenAI(base_url=served.world.url + "/v1", api_key=token, max_retries=0)


async def test_it_chats(serve: Serve) -> None:
    """Plain answers."""
    async with serve() as served, client(served) as ai:
        answer = await ai.chat.completions.create(model="default", messages=HELLO)
    assert "stand-in for tests, no model: hello world" == answer.choices[0].message.content
    assert "stop" == answer.choices[0].finish_reason
    assert answer.usage is not None
    assert 7 == answer.usage.completion_tokens


async def test_it_streams(serve: Serve) -> None:
    """Events, usage and the end."""
    async with serve() as served, client(served) as ai:
        stream = await ai.chat.completions.create(
            model="default", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "stand-in for tests, no model: hello world" == said
    assert chunks[-1].usage is not None
    assert 7 == chunks[-1].usage.completion_tokens


async def test_it_calls_tools_and_sends_their_results_back(serve: Serve) -> None:
    """What it dumps of an answer must be accepted as the next question."""
    tools: list[Any] = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]
    async with serve(":tool") as served, client(served) as ai:
        first = await ai.chat.completions.create(model="default", messages=HELLO, tools=tools)
        message = first.choices[0].message
        assert message.tool_calls
        result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "seen"}
        again = [*HELLO, message.model_dump(), result]
        second = await ai.chat.completions.create(model="default", messages=again, tools=tools)
    assert "tool_calls" == second.choices[0].finish_reason


async def test_it_embeds(serve: Serve) -> None:
    """It asks for base64 on its own account."""
    async with serve() as served, client(served) as ai:
        answer = await ai.embeddings.create(model="default", input=["a cat", "a dog"])
        assert "float" == served.sent["encoding_format"]
    assert [64, 64] == [len(one.embedding) for one in answer.data]
    assert abs(sum(value * value for value in answer.data[0].embedding) - 1) < 1e-6


async def test_it_lists_models(serve: Serve) -> None:
    """The first thing that many programs do."""
    async with serve() as served, client(served) as ai:
        assert ["default"] == [model.id async for model in ai.models.list()]


@pytest.mark.parametrize(
    ("scopes", "request_", "error"),
    [
        (("session",), {}, openai.PermissionDeniedError),
        (("chat",), {"model": "gpt-4"}, openai.UnprocessableEntityError),
        (("chat",), {"n": 2}, openai.UnprocessableEntityError),
        (("chat",), {"logprobs": True}, openai.UnprocessableEntityError),
        (("chat",), {"messages": [{"role": "user", "content": "word " * 30_000}]}, openai.APIStatusError),
    ],
    ids=["scope", "model", "n", "logprobs", "context"],
)
async def test_it_raises_the_error_that_fits(
    serve: Serve, scopes: tuple[str, ...], request_: dict[str, Any], error: type[Exception]
) -> None:
    """Programs decide by these classes whether to try again."""
    async with serve() as served, client(served, *scopes) as ai:
        with pytest.raises(error) as caught:
            await ai.chat.completions.create(**{"model": "default", "messages": HELLO, **request_})
    assert isinstance(caught.value, openai.APIStatusError)
    assert caught.value.response.json()["type"].startswith("urn:bulkhead:problem:")


async def test_a_token_that_is_not_accepted_is_an_authentication_error(serve: Serve) -> None:
    """It is the one that makes programs get a new token."""
    async with serve() as served:
        ai = openai.AsyncOpenAI(base_url=served.world.url + "/v1", api_key="sk-nothing", max_retries=0)
        async with ai:
            with pytest.raises(openai.AuthenticationError):
                await ai.chat.completions.create(model="default", messages=HELLO)


async def test_a_limit_is_a_rate_limit_error_that_says_when(serve: Serve) -> None:
    """It waits as long as the header says, if it is told to try again."""
    limits = replace(LIMITS, per_user=replace(LIMITS.per_user, requests_per_minute=1))
    async with serve(limits=limits) as served, client(served) as ai:
        await ai.chat.completions.create(model="default", messages=HELLO)
        with pytest.raises(openai.RateLimitError) as caught:
            await ai.chat.completions.create(model="default", messages=HELLO)
    assert "60" == caught.value.response.headers["retry-after"]


async def test_a_stream_that_fails_half_way_raises(serve: Serve) -> None:
    """An answer that merely stops would pass for a whole one."""
    async with serve(":break") as served, client(served) as ai:
        stream = await ai.chat.completions.create(
            model="default", messages=[{"role": "user", "content": "a b c d e f"}], stream=True
        )
        await anext(stream)  # something came before
        with pytest.raises(openai.APIError) as caught:
            [chunk async for chunk in stream]
    assert "upstream-error" == caught.value.code
