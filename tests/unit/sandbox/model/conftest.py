"""A gateway in front of the stand-in model, in this process and on loopback."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from bulkhead_sandbox.config import ModelConfig
from model_standin import NAME, StandIn, serving

from ..conftest import (  # noqa: TID252 - test folders are no packages that could be named
    HOST,
    Answer,
    FakeClock,
    World,
    gateway_for,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from model_standin.server import Asked

UPSTREAM_KEY = "sk-upstream-0123456789abcdefghijklmnop"


@dataclass
class Served:
    """A gateway, the stand-in behind it, and what that one was asked."""

    world: World
    stand_in: StandIn
    asked: list[Asked] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def sent(self) -> Any:
        """The body of the last request that went upstream."""
        return orjson.loads(self.asked[-1].body)

    @property
    def record(self) -> dict[str, Any]:
        """The end of the last call in the audit log."""
        return [one for one in self.world.audit.records_made if one["phase"] == "end"][-1]

    def left_of_limits(self, subject: str = "alice") -> Any:
        return self.world.ask("GET", "/v1/usage", self.world.token("session", subject=subject))

    async def chat(
        self, content: str = "hello world", token: str | None = None, headers: Any = None, **request: Any
    ) -> Answer:
        """One question, with a token that may ask."""
        body = {"model": "default", "messages": [{"role": "user", "content": content}], **request}
        token = token or self.world.token("chat")
        return await self.world.ask("POST", "/v1/chat/completions", token, json=body, headers=headers or {})


def events(answer: Answer) -> list[Any]:
    """The data of a stream's events; `[DONE]` stays text."""
    found = []
    for event in answer.body.decode().split("\n\n"):
        data = [line.removeprefix("data: ") for line in event.split("\n") if line.startswith("data: ")]
        found += [one if one == "[DONE]" else orjson.loads(one) for one in data]
    return found


def said(answer: Answer) -> str:
    """The text of a stream."""
    deltas = [one["choices"][0]["delta"] for one in events(answer) if one != "[DONE]" and one.get("choices")]
    return "".join(delta.get("content") or "" for delta in deltas)


def finish(answer: Answer) -> str | None:
    """Why a stream was over."""
    reasons = [
        one["choices"][0]["finish_reason"] for one in events(answer) if one != "[DONE]" and one.get("choices")
    ]
    return next((reason for reason in reasons if reason), None)


@pytest.fixture
def serve(tmp_path: Path, clock: FakeClock) -> Callable[..., AbstractAsyncContextManager[Served]]:
    """A gateway whose model misbehaves in the way that is named; `model` changes its config."""

    @asynccontextmanager
    async def served(
        behaviour: str = "", *, model: dict[str, Any] | None = None, **changes: Any
    ) -> AsyncIterator[Served]:
        (key_file := tmp_path / "model-key").write_text(UPSTREAM_KEY + "\n")
        stand_in = StandIn()
        asked: list[Asked] = []
        left = asyncio.Event()
        async with serving(HOST, 0, stand_in, asked=asked.append, left=left.set) as port:
            members: dict[str, Any] = {
                "name": "default",
                "url": f"http://{HOST}:{port}/v1",
                "upstream_name": NAME + behaviour,
                "context_tokens": 8192,
                "max_output_tokens": 1024,
                "embeddings": True,
                "cache_salt": True,
                "key_file": str(key_file),
            }
            config = ModelConfig(**{**members, **(model or {})})
            async with gateway_for(tmp_path, clock, models=(config,), **changes) as world:
                yield Served(world, stand_in, asked, left)

    return served
