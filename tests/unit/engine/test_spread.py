"""Letting many keys into the queue in turn, on a clock that costs nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from support.clocks import LoopClock

from bulkhead.engine.deadlines import TokenBucket
from bulkhead.engine.queue import WorkQueue
from bulkhead.engine.spread import Spread

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def test_keys_come_in_turn_and_once() -> None:
    """An edited class with a thousand workspaces must neither flood the queue nor run one of them twice."""
    queue = WorkQueue(random=lambda: 1.0)
    clock = LoopClock(datetime(2026, 12, 1, tzinfo=UTC))
    spread = Spread(queue, TokenBucket(20, 20, clock))
    running = asyncio.create_task(spread.run())
    spread.add(f"w{number}" for number in range(100))
    spread.add(["w99", "w0"])
    await asyncio.sleep(0.01)
    first = len(queue)
    await asyncio.sleep(3.9)
    almost = len(queue)
    await asyncio.sleep(1)
    running.cancel()

    assert (first, almost < 100, len(queue), len(spread)) == (20, True, 100, 0)


async def test_what_is_fresh_overtakes() -> None:
    """A person's edit must not wait for an administrator's."""
    queue = WorkQueue(random=lambda: 1.0)
    spread = Spread(queue, TokenBucket(20, 20, LoopClock(datetime(2026, 12, 1, tzinfo=UTC))))
    running = asyncio.create_task(spread.run())
    spread.add(["a", "b"])
    await asyncio.sleep(1)
    queue.add("fresh")
    running.cancel()

    assert await queue.get() == "fresh"
