"""The deadline heap on a clock that costs nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from support.clocks import START, LoopClock

from bulkhead.engine.deadlines import Deadlines, TokenBucket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


class Scene:
    def __init__(self, per_second: float = 1000, burst: float = 1000) -> None:
        self.clock = LoopClock()
        self.woken: list[tuple[str, float]] = []
        bucket = TokenBucket(per_second, burst, self.clock)
        self.deadlines = Deadlines(self.clock, self._wake, bucket)

    def _wake(self, key: str) -> None:
        self.woken.append((key, round(self.clock.monotonic(), 3)))

    def set(self, key: str, seconds: float) -> None:
        self.deadlines.set(key, START + timedelta(seconds=seconds))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.deadlines.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_each_key_is_woken_at_its_deadline() -> None:
    """An expiry that nobody looks at does not happen."""
    scene = Scene()
    scene.set("b", 20)
    scene.set("a", 10)
    async with scene.running():
        await asyncio.sleep(100)

    assert scene.woken == [("a", 10), ("b", 20)]


async def test_a_moved_deadline_replaces_the_old_one() -> None:
    """Extending by edit must not wake at the old time."""
    scene = Scene()
    scene.set("a", 10)
    scene.set("a", 50)
    async with scene.running():
        await asyncio.sleep(100)

    assert scene.woken == [("a", 50)]


async def test_an_earlier_deadline_interrupts_the_sleep() -> None:
    """Somebody shortens a TTL while the heap sleeps towards the old one."""
    scene = Scene()
    scene.set("a", 25)
    async with scene.running():
        await asyncio.sleep(1)
        scene.set("b", 5)
        await asyncio.sleep(100)

    assert scene.woken == [("b", 5), ("a", 25)]


async def test_a_removed_deadline_is_silent() -> None:
    """A workspace that is gone needs no look."""
    scene = Scene()
    scene.set("a", 10)
    scene.deadlines.set("a", None)
    async with scene.running():
        await asyncio.sleep(100)

    assert scene.woken == []


async def test_a_deadline_in_the_past_wakes_at_once() -> None:
    """It passed while the operator was down."""
    scene = Scene()
    scene.set("a", -3600)
    async with scene.running():
        await asyncio.sleep(1)

    assert scene.woken == [("a", 0)]


async def test_a_clock_that_jumps_ahead_is_noticed_within_the_cap() -> None:
    """A suspended machine wakes up hours later; its sleep was measured on the other clock."""
    scene = Scene()
    scene.set("a", 3600)
    async with scene.running():
        await asyncio.sleep(5)
        scene.clock.jump(hours=2)
        await asyncio.sleep(30)

    assert [key for key, _ in scene.woken] == ["a"]


async def test_a_clock_that_jumps_back_never_wakes_early() -> None:
    """Early wake-ups are harmless but must not become a busy loop or a lost deadline."""
    scene = Scene()
    scene.set("a", 60)
    async with scene.running():
        await asyncio.sleep(50)
        scene.clock.jump(seconds=-40)
        await asyncio.sleep(49)
        assert scene.woken == []
        await asyncio.sleep(2)

    assert scene.woken == [("a", 100)]


async def test_many_deadlines_at_one_moment_are_spread() -> None:
    """A thousand teardowns at one second would take the API server from everybody else."""
    scene = Scene(per_second=10, burst=5)
    for number in range(25):
        scene.set(f"w-{number}", 1)
    async with scene.running():
        await asyncio.sleep(100)

    at = [when for _, when in scene.woken]
    assert at[:5] == [1] * 5
    assert at[-1] == pytest.approx(3.0)
    assert len(at) == 25
