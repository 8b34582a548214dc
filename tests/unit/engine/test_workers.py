"""Workers on a clock that costs nothing: what becomes of each outcome of a reconcile."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from bulkhead.engine.queue import WorkQueue
from bulkhead.engine.workers import Workers
from bulkhead.errors import Conflict, Unavailable
from bulkhead.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


class Scene:
    """Workers over a scripted reconcile; remembers when each key was worked on."""

    def __init__(self, reconcile: Callable[[str], Awaitable[float | None]], count: int = 2) -> None:
        self.queue = WorkQueue(random=lambda: 1.0)
        self.metrics = Metrics("test")
        self.seen: list[tuple[str, float]] = []
        self._reconcile = reconcile
        self._workers = Workers(
            self.queue,
            self._one,
            count=count,
            timeout_seconds=60,
            metrics=self.metrics,
            new_id=lambda: "id",
        )

    async def _one(self, key: str) -> float | None:
        self.seen.append((key, asyncio.get_running_loop().time()))
        return await self._reconcile(key)

    async def run(self, seconds: float) -> None:
        task = asyncio.create_task(self._workers.run())
        await asyncio.sleep(seconds)
        self.queue.close()
        await task

    def results(self) -> dict[str, float]:
        results = ("success", "requeue", "error", "timeout")
        return {each: self.metrics.reconcile_total.labels(each)._value.get() for each in results}


def failing(error: BaseException) -> Callable[[str], Awaitable[float | None]]:
    async def reconcile(_key: str) -> float | None:
        raise error

    return reconcile


def unavailable() -> Unavailable:
    return Unavailable("get", "Pod", "a", "b", status=503, reason="x", message="y")


async def test_a_wish_to_come_again_is_granted() -> None:
    """A reconcile that waits for pods would wait for the sweep."""

    async def reconcile(_key: str) -> float | None:
        return 7.0

    scene = Scene(reconcile)
    scene.queue.add("a")
    await scene.run(20)

    assert scene.seen == [("a", 0), ("a", 7), ("a", 14)]


async def test_failures_back_off() -> None:
    """A broken API server must not be hammered."""
    scene = Scene(failing(unavailable()))
    scene.queue.add("a")
    await scene.run(16)

    assert [at for _, at in scene.seen] == [0, 1, 3, 7, 15]
    assert scene.results()["error"] == 5


async def test_a_bug_in_one_workspace_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    """One strange object must not take the operator down."""

    async def reconcile(key: str) -> float | None:
        if key == "strange":
            raise KeyError("planted-secret")
        return None

    caplog.set_level(logging.ERROR, "bulkhead")
    scene = Scene(reconcile, count=1)
    scene.queue.add("strange")
    scene.queue.add("other")
    await scene.run(0.5)

    assert [key for key, _ in scene.seen] == ["strange", "other"]
    assert [record.event for record in caplog.records] == ["reconcile.failed"]  # type: ignore[attr-defined]


async def test_a_conflict_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Somebody was faster: an error line for each would bury the real ones."""
    conflict = Conflict("patch", "TenantWorkspace", None, "a", status=409, reason="Conflict", message="")
    scene = Scene(failing(conflict))
    scene.queue.add("a")
    await scene.run(0.5)

    assert (scene.results()["requeue"], scene.results()["error"], caplog.records) == (1, 0, [])


async def test_a_reconcile_that_hangs_is_ended() -> None:
    """A worker that waits for ever is lost to everybody."""

    async def reconcile(_key: str) -> float | None:
        await asyncio.sleep(10**6)
        return None

    scene = Scene(reconcile, count=1)
    scene.queue.add("a")
    await scene.run(60.5)

    assert scene.results()["timeout"] == 1


async def test_what_was_begun_is_finished_at_the_end() -> None:
    """A clean stop must not leave half a wave behind."""
    finished: list[str] = []

    async def reconcile(key: str) -> float | None:
        await asyncio.sleep(5)
        finished.append(key)
        return None

    scene = Scene(reconcile, count=1)
    scene.queue.add("begun")
    scene.queue.add("waiting")
    await scene.run(1)

    assert finished == ["begun"]
