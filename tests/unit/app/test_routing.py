"""From watch events to keys in the queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkhead import names
from bulkhead.app.relevance import Relevance
from bulkhead.app.routing import Router
from bulkhead.engine.echoes import Echoes
from bulkhead.engine.fleet import Fleet
from bulkhead.engine.queue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

UID = "u-1"
SPACE = names.namespace("acme", UID)


class Scene:
    def __init__(self) -> None:
        self.queue = WorkQueue(random=lambda: 1.0)
        self.fleet, self.echoes = Fleet(), Echoes()
        self.router = Router(self.queue, self.fleet, self.echoes, Relevance())

    async def queued(self) -> list[str]:
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


async def test_a_class_edit_reaches_its_workspaces_and_those_without_a_choice() -> None:
    """A raised ceiling or a new denied range counts at once, not at the next sweep."""
    scene = Scene()
    for name, class_name in (("a", "standard"), ("b", "other"), ("c", None)):
        scene.know(name, name, class_name)
    scene.router.workspace_class("MODIFIED", {"metadata": {"name": "standard"}})

    assert await scene.queued() == ["a", "c"]


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
