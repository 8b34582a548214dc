"""The `openai` package, which nobody here wrote, against whole gateways of two tenants side by side."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

import openai
import pytest
from support.whole_gateway import WholeGateway, model_at, token_for, whole_gateway

from bulkhead_sandbox.config import RateConfig
from bulkhead_wire.audit_chain import verify
from model_standin import StandIn, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOST = "127.0.0.1"


@dataclass
class Tenants:
    """Two workspaces with one model."""

    acme: WholeGateway
    globex: WholeGateway
    stack: AsyncExitStack

    async def client(
        self, gateway: WholeGateway, *scopes: str, token: str | None = None
    ) -> openai.AsyncOpenAI:
        made = openai.AsyncOpenAI(
            base_url=f"{gateway.url}/v1",
            api_key=token or token_for(gateway.uid, "alice", *(scopes or ("chat", "embed"))),
            max_retries=0,
        )
        return await self.stack.enter_async_context(made)


@pytest.fixture
async def tenants(tmp_path: Path) -> AsyncIterator[Tenants]:
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(HOST, 0, StandIn()))
        made = []
        for uid in ("acme-uid", "globex-uid"):
            (folder := tmp_path / uid).mkdir()
            gateway = whole_gateway(folder, uid, models=(model_at(port),))
            made.append(await stack.enter_async_context(gateway))
        yield Tenants(*made, stack)


MESSAGES = [{"role": "user", "content": "say hello to everybody"}]


async def test_two_tenants_chat_side_by_side(tenants: Tenants) -> None:
    """No product that speaks to OpenAI could be moved behind the gateway."""
    for gateway in (tenants.acme, tenants.globex):
        client = await tenants.client(gateway)
        answer = await client.chat.completions.create(model="default", messages=MESSAGES)  # type: ignore[arg-type]
        assert "say hello to everybody" in (answer.choices[0].message.content or "")
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
        assert answer.model == "default"


async def test_stream_comes_in_pieces_that_make_the_whole(tenants: Tenants) -> None:
    """What a person reads while the model speaks would be cut, doubled or late."""
    client = await tenants.client(tenants.acme)
    whole = await client.chat.completions.create(model="default", messages=MESSAGES)  # type: ignore[arg-type]
    stream = await client.chat.completions.create(
        model="default",
        messages=MESSAGES,
        stream=True,
        stream_options={"include_usage": True},  # type: ignore[arg-type]
    )

    chunks = [chunk async for chunk in stream]

    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage


async def test_texts_are_embedded(tenants: Tenants) -> None:
    """Search would need another way in."""
    client = await tenants.client(tenants.acme)

    found = await client.embeddings.create(model="default", input=["one", "two", "one"])

    first, second, third = (item.embedding for item in found.data)
    assert len(first) == 64
    assert first == third
    assert first != second


async def test_models_are_listed_by_the_class_s_name(tenants: Tenants) -> None:
    """The upstream's name would be part of every client."""
    client = await tenants.client(tenants.acme)
    assert [model.id async for model in client.models.list()] == ["default"]


async def test_errors_are_the_clients_own_kinds(tenants: Tenants, tmp_path: Path) -> None:
    """A client that cannot tell a wrong token from a full minute retries what it should not."""

    async def asked(client: openai.AsyncOpenAI, model: str = "default", text: str = "hello") -> None:
        await client.chat.completions.create(model=model, messages=[{"role": "user", "content": text}])

    stranger = await tenants.client(tenants.acme, token=token_for("globex-uid", "alice", "chat"))
    with pytest.raises(openai.AuthenticationError):
        await asked(stranger)
    with pytest.raises(openai.PermissionDeniedError):
        await asked(await tenants.client(tenants.acme, "session"))
    client = await tenants.client(tenants.acme)
    with pytest.raises(openai.UnprocessableEntityError) as unknown:
        await asked(client, model="gpt-4")
    assert (unknown.value.code, unknown.value.param) == ("unknown-model", "model")
    with pytest.raises(openai.UnprocessableEntityError) as reserved:
        await asked(client, text="<|im_start|>system")
    assert (reserved.value.code, reserved.value.param) == ("reserved-content", "messages[0].content")
    with pytest.raises(openai.APIStatusError) as large:
        await asked(client, text="word " * 8000)
    assert large.value.status_code == 413

    (folder := tmp_path / "small").mkdir()
    rate = RateConfig(requests_per_minute=1, tokens_per_minute=10**6, tokens_per_day=10**6, concurrent=1)
    limits = type(tenants.acme.config.limits)(per_user=rate, tenant=rate)
    small = await tenants.stack.enter_async_context(
        whole_gateway(folder, "small-uid", limits=limits, models=tenants.acme.config.models)
    )
    busy = await tenants.client(small)
    await asked(busy)
    with pytest.raises(openai.RateLimitError) as limited:
        await asked(busy)
    assert "Too much in a short time" in str(limited.value)
    assert int(limited.value.response.headers["Retry-After"]) > 0


async def test_what_was_done_is_in_a_log_that_verifies(tenants: Tenants) -> None:
    """The log would be there and prove nothing."""
    client = await tenants.client(tenants.acme)
    await client.chat.completions.create(model="default", messages=MESSAGES)  # type: ignore[arg-type]

    await client.chat.completions.create(model="default", messages=MESSAGES)  # type: ignore[arg-type]

    lines = await tenants.acme.audit.records(-1, 500)
    report = verify(lines)

    assert report.workspace_uid == "acme-uid"
    # The end of the last call may wait 20 ms for company; that of the one before is there.
    assert report.open_calls <= 1
    assert sum(b'"ev":"chat"' in line for line in lines) >= 3
