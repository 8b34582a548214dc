"""The sweep over the in-memory API server."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, cast

import pytest

from bulkhead import names
from bulkhead.engine.queue import WorkQueue
from bulkhead.engine.sweep import Sweeper
from bulkhead.errors import Unavailable

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Engine

    from bulkhead.kube.client import KubeClient

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def sweeper(engine: Engine, queue: WorkQueue) -> Sweeper:
    client = cast("KubeClient", engine.api)
    return Sweeper(client, queue, engine.deadlines, engine.fleet, interval_seconds=600, random=lambda: 0.5)


async def keys(queue: WorkQueue) -> set[str]:
    found = set()
    while len(queue):
        key = await queue.get()
        queue.done(key)
        found.add(key)
    return found


async def test_every_workspace_is_queued_and_those_that_vanished_unseen(engine: Engine) -> None:
    """During a 410 kopf does not notice deletions."""
    engine.fleet.see({"metadata": {"name": "gone", "uid": "u"}})
    engine.api.make_workspace("a")
    engine.api.make_workspace("b")
    queue = WorkQueue(random=lambda: 1.0)
    await sweeper(engine, queue).sweep(0)

    assert await keys(queue) == {"a", "b", "gone"}


async def test_deadlines_are_known_before_the_first_reconcile(engine: Engine) -> None:
    """A deadline that passed while the operator was down must not wait behind the start-up flood."""
    engine.api.make_workspace("a")
    engine.api.workspace("a")["status"] = {"expiresAt": "2026-11-01T10:00:00Z", "conditions": []}
    await sweeper(engine, WorkQueue(random=lambda: 1.0)).sweep(0)

    assert len(engine.deadlines) == 1


async def test_namespaces_without_a_workspace_are_reported(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """The garbage collector removes them; if it does not, somebody must know."""
    caplog.set_level(logging.WARNING, "bulkhead")
    labels = names.workspace_labels("gone", "u-1")
    engine.api.store.create({"kind": "Namespace", "metadata": {"name": "bh-gone-1", "labels": labels}})
    await sweeper(engine, WorkQueue(random=lambda: 1.0)).sweep(0)

    assert [record.fields for record in caplog.records] == [{"namespace": "bh-gone-1"}]  # type: ignore[attr-defined]


async def test_a_failed_sweep_is_followed_by_the_next(engine: Engine) -> None:
    """One unlucky list must not end the sweeping."""
    engine.api.make_workspace("a")
    engine.api.refuse("list", "TenantWorkspace", Unavailable, times=1)
    queue = WorkQueue(random=lambda: 1.0)
    task = asyncio.create_task(sweeper(engine, queue).run())
    await asyncio.sleep(1300)
    task.cancel()

    assert await keys(queue) == {"a"}


async def test_later_sweeps_are_spread(engine: Engine) -> None:
    """A thousand reconciles at one moment would be a peak every ten minutes."""
    engine.api.make_workspace("a")
    queue = WorkQueue(random=lambda: 1.0)
    await sweeper(engine, queue).sweep(300)

    assert (len(queue), queue.delayed) == (0, 1)
