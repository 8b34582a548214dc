"""From watch events to keys in the queue."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
from support.clocks import LoopClock
from support.fake_api import FakeApi

from bulkhead import names
from bulkhead.app.relevance import Relevance
from bulkhead.app.routing import Router
from bulkhead.engine.deadlines import TokenBucket
from bulkhead.engine.echoes import Echoes
from bulkhead.engine.facts import FactsSource
from bulkhead.engine.fleet import Fleet
from bulkhead.engine.queue import WorkQueue
from bulkhead.engine.spread import Spread

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkhead.kube.client import KubeClient

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

UID = "u-1"
SPACE = names.namespace("acme", UID)


class Scene:
    def __init__(self) -> None:
        self.queue = WorkQueue(random=lambda: 1.0)
        self.fleet, self.echoes = Fleet(), Echoes()
        clock = LoopClock()
        self.spread = Spread(self.queue, TokenBucket(20, 20, clock))
        self.api = FakeApi(clock)
        self.facts = FactsSource(cast("KubeClient", self.api), clock)
        self.router = Router(
            queue=self.queue,
            spread=self.spread,
            fleet=self.fleet,
            facts=self.facts,
            echoes=self.echoes,
            relevance=Relevance(),
        )

    async def queued(self) -> list[str]:
        """Everything that was added; what is spread has had its time."""
        running = asyncio.create_task(self.spread.run())
        await asyncio.sleep(60)
        running.cancel()
        keys = []
        while len(self.queue):
            key = await self.queue.get()
            self.queue.done(key)
            keys.append(key)
        return keys

    def know(self, name: str = "acme", uid: str = UID, class_name: str | None = None) -> None:
        self.fleet.see({"metadata": {"name": name, "uid": uid}, "spec": {"className": class_name}})


def child(kind: str = "Service", version: str = "1", **fields: Any) -> dict[str, Any]:
    metadata = {
        "name": "x",
        "namespace": SPACE,
        "uid": "c-1",
        "resourceVersion": version,
        "labels": names.workspace_labels("acme", UID),
    }
    return {"kind": kind, "metadata": metadata, **fields}


async def test_an_edit_overtakes_the_list_at_start() -> None:
    """At start thousands are listed; an edit must not wait for them."""
    scene = Scene()
    for name in ("a", "b"):
        scene.router.workspace(None, {"metadata": {"name": name, "uid": name, "resourceVersion": "1"}})
    scene.router.workspace("MODIFIED", {"metadata": {"name": "c", "uid": "c", "resourceVersion": "2"}})

    assert await scene.queued() == ["c", "a", "b"]


async def test_a_childs_change_is_its_workspaces() -> None:
    """Drift is seen by children's events."""
    scene = Scene()
    scene.router.child("DELETED", child())

    assert await scene.queued() == ["acme"]


async def test_the_namespace_says_more_than_a_label() -> None:
    """A label can be forged: the event must reach the workspace whose namespace it happened in."""
    scene = Scene()
    scene.know()
    forged = child()
    forged["metadata"]["labels"] = names.workspace_labels("other", "u-2")
    scene.router.child("MODIFIED", forged)

    assert await scene.queued() == ["acme"]


async def test_an_unlabelled_policy_in_our_namespace_is_noticed() -> None:
    """ISO-NET: an additive allow policy carries no label of ours."""
    scene = Scene()
    scene.know()
    policy = child("NetworkPolicy")
    del policy["metadata"]["labels"]
    scene.router.policy("ADDED", policy)

    assert await scene.queued() == ["acme"]


async def test_policies_elsewhere_are_nobodys_business() -> None:
    """All policies of the cluster come by."""
    scene = Scene()
    policy = child("NetworkPolicy")
    policy["metadata"] |= {"namespace": "kube-system", "labels": {}}
    scene.router.policy("ADDED", policy)

    assert await scene.queued() == []


async def test_our_own_writes_are_no_news() -> None:
    """Else every repair is followed by a reconcile that finds nothing."""
    scene = Scene()
    scene.echoes.remember(child(version="7"))
    scene.router.child("MODIFIED", child(version="7"))
    scene.router.child("MODIFIED", child(version="8"))

    assert await scene.queued() == ["acme"]


def workspace_class(generation: int = 1, version: str = "1", **spec: Any) -> dict[str, Any]:
    metadata = {"name": "standard", "uid": "k-1", "generation": generation, "resourceVersion": version}
    return {"metadata": metadata, "spec": spec}


async def test_a_class_edit_reaches_its_workspaces_and_those_without_a_choice() -> None:
    """A raised ceiling or a new denied range counts at once, not at the next sweep."""
    scene = Scene()
    for name, class_name in (("a", "standard"), ("b", "other"), ("c", None)):
        scene.know(name, name, class_name)
    scene.fleet.see_class(workspace_class())
    scene.router.workspace_class("MODIFIED", workspace_class(2))

    assert await scene.queued() == ["class/standard", "a", "c"]


async def test_a_class_whose_status_changes_is_no_news_to_its_workspaces() -> None:
    """Each workspace that comes changes its class's status; that must not wake all the others."""
    scene = Scene()
    scene.know("a", "a", "standard")
    scene.fleet.see_class(workspace_class())
    scene.router.workspace_class("MODIFIED", workspace_class(version="2"))

    assert await scene.queued() == ["class/standard"]


async def test_what_we_wrote_on_a_class_is_no_news_at_all() -> None:
    """Else each status would lead to a reconcile that finds nothing."""
    scene = Scene()
    scene.fleet.see_class(workspace_class())
    scene.echoes.remember(workspace_class(version="2"))
    scene.router.workspace_class("MODIFIED", workspace_class(version="2"))

    assert await scene.queued() == []


@pytest.mark.parametrize("kind", ["ADDED", "DELETED"])
async def test_a_class_that_comes_or_goes_reaches_who_names_it(kind: str) -> None:
    """A workspace that is Stalled for want of its class must not wait for the sweep."""
    scene = Scene()
    scene.know("a", "a", "standard")
    scene.router.workspace_class(kind, workspace_class())

    assert await scene.queued() == ["class/standard", "a"]


async def test_the_list_of_classes_at_start_queues_nothing() -> None:
    """The sweep brings them all; an edit that a broken watch missed is noticed in a later list."""
    scene = Scene()
    scene.know("a", "a", "standard")
    scene.router.workspace_class(None, workspace_class())
    at_start = await scene.queued()
    scene.router.workspace_class(None, workspace_class(2))

    assert (at_start, await scene.queued()) == ([], ["class/standard", "a"])


@pytest.mark.parametrize("kind", ["ADDED", "DELETED"])
async def test_a_runtime_class_reaches_every_workspace_of_the_classes_that_name_it(kind: str) -> None:
    """Pods that could not be contained may start now, or no longer; what was read before is over."""
    scene = Scene()
    for name, class_name in (("a", "standard"), ("b", "other")):
        scene.know(name, name, class_name)
    scene.fleet.see_class(workspace_class(isolation={"level": "Sandboxed", "runtimeClassName": "gvisor"}))
    await scene.facts.current()
    scene.router.runtime_class(kind, {"metadata": {"name": "gvisor"}})
    await scene.facts.current()

    assert await scene.queued() == ["class/standard", "a"]
    assert scene.api.calls["list", "RuntimeClass"] == 2


async def test_a_runtime_class_that_nobody_names_wakes_nobody() -> None:
    """Clusters have others."""
    scene = Scene()
    scene.know("a", "a", "standard")
    scene.fleet.see_class(workspace_class())
    scene.router.runtime_class("ADDED", {"metadata": {"name": "wasm"}})

    assert await scene.queued() == []


async def test_a_guard_that_ends_its_wait_is_news() -> None:
    """Else a tenant's agents would be called waiting until the next sweep."""
    scene = Scene()

    def guarded(**state: Any) -> dict[str, Any]:
        guard = {"name": "guard", "ready": False, "state": state}
        return child("Pod", status={"phase": "Pending", "initContainerStatuses": [guard]})

    scene.router.child("ADDED", guarded(running={"startedAt": "2026-12-01T12:00:00Z"}))
    await scene.queued()
    scene.router.child("MODIFIED", guarded(terminated={"reason": "Completed", "exitCode": 0}))

    assert await scene.queued() == ["acme"]


async def test_a_deleted_workspace_is_reconciled_once_more() -> None:
    """Its deadline must go; its namespace no longer leads to it."""
    scene = Scene()
    scene.know()
    scene.router.workspace("DELETED", {"metadata": {"name": "acme", "uid": UID, "resourceVersion": "9"}})

    assert await scene.queued() == ["acme"]
    assert scene.fleet.owner_of(SPACE) is None


async def test_a_successor_of_the_same_name_replaces_the_namespace() -> None:
    """An event in the predecessor's namespace must not be taken for the successor's by the index."""
    scene = Scene()
    scene.know()
    scene.know(uid="u-2")

    assert (scene.fleet.owner_of(SPACE), len(scene.fleet)) == (None, 1)


def pod(ready: str, message: str = "", heartbeat: str = "1") -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "message": message, "lastProbeTime": heartbeat}
    return child("Pod", status={"phase": "Running", "conditions": [condition]})


def quota(used: str, hard: str = "10") -> dict[str, Any]:
    return child("ResourceQuota", status={"used": {"pods": used}, "hard": {"pods": hard}})


@pytest.mark.parametrize(
    ("before", "after", "news"),
    [
        (pod("False"), pod("True"), True),
        (pod("True"), pod("True", heartbeat="2"), False),
        (pod("False", "a"), pod("False", "b"), True),
        (quota("1"), quota("2"), False),
        (quota("1"), quota("1", hard="11"), True),
        (
            child("Deployment", status={"readyReplicas": 0}),
            child("Deployment", status={"readyReplicas": 1}),
            True,
        ),
        (child("Service"), child("Service"), True),
    ],
    ids=["ready", "heartbeat", "why not", "usage", "counted", "replica", "other kinds"],
)
async def test_only_news_is_queued(before: dict[str, Any], after: dict[str, Any], *, news: bool) -> None:
    """A starting pod and a counting quota change status many times; each would be a whole reconcile."""
    scene = Scene()
    route: Callable[..., None] = scene.router.child
    route("ADDED", before)
    await scene.queued()
    route("MODIFIED", after)

    assert await scene.queued() == (["acme"] if news else [])


async def test_a_replayed_list_is_compared_with_what_was_seen() -> None:
    """The first list only fills the memory; a deletion is always news."""
    scene = Scene()
    scene.router.child(None, pod("True"))
    scene.router.child("MODIFIED", pod("True", heartbeat="2"))
    quiet = await scene.queued()
    scene.router.child("DELETED", pod("True"))

    assert (quiet, await scene.queued()) == ([], ["acme"])
