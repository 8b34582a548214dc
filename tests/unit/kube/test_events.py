"""Kubernetes Events on a clock that costs nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

import pytest
from support.clocks import LoopClock

from bulkhead.errors import NotFound, Unavailable
from bulkhead.kube.events import EventWriter, Happening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkhead.kube.client import KubeClient

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

NEWS = Happening("acme", "u-1", "Warning", "DriftRepaired", "NetworkPolicy default-deny: repaired")


class Events:
    """The two verbs that the writer uses."""

    def __init__(self) -> None:
        self.created: list[dict[str, Any]] = []
        self.merged: list[dict[str, Any]] = []
        self.error: Exception | None = None

    async def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        self.created.append(manifest)
        return manifest

    async def merge(self, _kind: str, _name: str, _namespace: str, patch: dict[str, Any]) -> dict[str, Any]:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        self.merged.append(patch)
        return patch


class Scene:
    def __init__(self) -> None:
        self.api = Events()
        self.dropped: list[str] = []
        ids = iter(range(10**6))
        self.writer = EventWriter(
            cast("KubeClient", self.api),
            instance="op-1",
            now=LoopClock().now,
            new_id=lambda: str(next(ids)),
            on_drop=lambda _, why: self.dropped.append(why),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.writer.run())
        yield
        await self.writer.drain(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_an_event_names_the_incarnation() -> None:
    """`kubectl describe` finds Events by UID; cluster-scoped objects have theirs in `default`."""
    scene = Scene()
    async with scene.running():
        scene.writer.tell(NEWS)

    [event] = scene.api.created
    assert event["metadata"]["namespace"] == "default"
    assert event["regarding"]["uid"] == "u-1"
    assert (event["type"], event["reason"]) == ("Warning", "DriftRepaired")


async def test_repetitions_inside_the_window_are_counted_not_written() -> None:
    """An attacker who edits in a loop must not fill the cluster with our Events."""
    scene = Scene()
    async with scene.running():
        for _ in range(50):
            scene.writer.tell(NEWS)
            await asyncio.sleep(1)
        await asyncio.sleep(300)
        scene.writer.tell(NEWS)

    assert len(scene.api.created) == 1
    assert [patch["series"]["count"] for patch in scene.api.merged] == [51]


async def test_an_event_that_has_expired_is_written_anew() -> None:
    """They live for an hour."""
    scene = Scene()
    async with scene.running():
        scene.writer.tell(NEWS)
        await asyncio.sleep(4000)
        scene.api.error = NotFound("patch", "Event", None, "x", status=404, reason="", message="")
        scene.writer.tell(NEWS)

    assert len(scene.api.created) == 2


async def test_an_event_that_cannot_be_written_disturbs_nobody() -> None:
    """Events are worth less than work."""
    scene = Scene()
    scene.api.error = Unavailable("create", "Event", None, "x", status=503, reason="", message="")
    async with scene.running():
        scene.writer.tell(NEWS)
        await asyncio.sleep(1)
        scene.api.error = None
        scene.writer.tell(Happening("b", "u-2", "Normal", "Provisioned", "ok"))

    assert (len(scene.dropped), len(scene.api.created)) == (1, 1)


async def test_a_full_backlog_drops() -> None:
    """Memory is bounded, whatever happens in the cluster."""
    scene = Scene()
    for number in range(1001):
        scene.writer.tell(Happening("a", str(number), "Normal", "x", "y"))

    assert scene.dropped == ["backlog full"]
