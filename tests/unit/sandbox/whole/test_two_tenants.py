"""Nothing of one crosses to another, with the worst of models: those that repeat all they were ever told."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from support.whole_gateway import WholeGateway, model_at, whole_gateway
from typing_extensions import override

from bulkhead_sandbox.gateway import assembly
from bulkhead_sandbox.gateway.content import Scanner
from model_standin import Reply, StandIn, serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

HOST = "127.0.0.1"
CALLS = 1000
AT_ONCE = 32
CANARY = re.compile(rb"bhc-[0-9a-f]{8}-[0-9a-f]{16}-[0-9a-f]{8}")


class Bleeding(StandIn):
    """Answers each question with the prompt of the one before, whoever asked it."""

    def __init__(self) -> None:
        super().__init__()
        self._last = "nothing yet"

    @override
    def respond(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        request = json.loads(body)
        said, self._last = self._last, json.dumps(request["messages"])
        request["messages"] = [{"role": "user", "content": said}]
        return super().respond(method, path, headers, json.dumps(request).encode())


async def run(folder: Path, stand_in: StandIn, behaviour: str = "") -> tuple[list[WholeGateway], list[bytes]]:
    """What comes out of two gateways when many users of both ask one model at once."""
    bodies: list[bytes] = []
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(serving(HOST, 0, stand_in))
        gateways = []
        for uid in ("acme-uid", "globex-uid"):
            (home := folder / uid).mkdir()
            made = whole_gateway(home, uid, models=(model_at(port, behaviour),))
            gateways.append(await stack.enter_async_context(made))
        left = iter(range(CALLS))

        async def client() -> None:
            for number in left:
                gateway, subject = gateways[number % 2], f"user-{number % 37}"
                body: dict[str, Any] = {
                    "model": "default",
                    "messages": [{"role": "user", "content": f"question {number}"}],
                    "stream": number % 3 == 0,
                }
                _, answer = await gateway.ask("POST", "/v1/chat/completions", subject, "chat", json=body)
                bodies.append(answer)

        await asyncio.gather(*(client() for _ in range(AT_ONCE)))
        return gateways, bodies


def blocked(gateways: list[WholeGateway], kind: str) -> float:
    return sum(gateway.counted("bulkhead_gw_security_events_total", kind=kind) for gateway in gateways)


def leaked(bodies: list[bytes]) -> int:
    return sum(CANARY.search(body) is not None for body in bodies)


async def test_no_canary_leaves_a_model_that_echoes_its_context(tmp_path: Path) -> None:
    """A user would see the gateway's own prompt, and learn how to write one."""
    gateways, bodies = await run(tmp_path, StandIn(), ":context")

    assert (leaked(bodies), len(bodies)) == (0, CALLS)
    assert blocked(gateways, "canary_leak") == CALLS
    assert blocked(gateways, "foreign_canary") == blocked(gateways, "crossed_canary") == 0


async def test_prompts_that_bleed_between_tenants_are_stopped_and_told_apart(tmp_path: Path) -> None:
    """A shared model that mixes two callers up would be noticed by the victims, if at all."""
    gateways, bodies = await run(tmp_path, Bleeding())

    assert (leaked(bodies), len(bodies)) == (0, CALLS)
    found = {kind: blocked(gateways, kind) for kind in ("foreign_canary", "crossed_canary", "canary_leak")}
    assert sum(found.values()) == CALLS - 1  # the first has nobody before it
    assert found["foreign_canary"] > CALLS / 10
    assert found["crossed_canary"] > CALLS / 10


async def test_gateway_without_the_check_is_caught_by_this_very_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A test that finds nothing either way would prove nothing."""

    class Blind(Scanner):
        def __init__(self, *_: Any, on_secret: Callable[[str], None]) -> None:
            super().__init__(_[0], {}, on_secret=on_secret)
            self._tags = type("Tags", (), {"judge": lambda *_: None})()

    monkeypatch.setattr(assembly, "KnowingScanner", Blind)
    _, bodies = await run(tmp_path, Bleeding())

    assert leaked(bodies) > CALLS / 2
