"""Whole reconciles of classes over the in-memory API server: who uses one, and when it may go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead import names
from bulkhead.engine.class_use import ClassUse
from bulkhead.errors import BulkheadError, Conflict, Forbidden

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Engine

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

SANDBOXED = {"isolation": {"level": "Sandboxed", "runtimeClassName": "gvisor"}}


def find(engine: Engine, name: str = "standard") -> dict[str, Any] | None:
    return engine.api.store.objects.get((names.CLASS_KIND, None, name))


def status(engine: Engine, name: str = "standard") -> dict[str, Any]:
    found = find(engine, name)
    assert found is not None
    return dict(found["status"])


def held(engine: Engine, name: str = "standard") -> bool:
    found = find(engine, name)
    return found is not None and names.CLASS_FINALIZER in found["metadata"].get("finalizers", ())


async def classes(engine: Engine, name: str = "standard") -> float | None:
    return await engine.parts.classes.reconcile(name)


async def forget(engine: Engine, name: str) -> None:
    """The workspace is gone, and the watch said so."""
    del engine.api.store.objects[names.WORKSPACE_KIND, None, name]
    engine.fleet.forget(name)


async def test_a_class_is_held_before_a_workspace_uses_it(engine: Engine) -> None:
    """A class that goes between the two would leave a workspace without its ceilings."""
    engine.api.make_class()
    engine.api.make_workspace("acme")
    await engine.reconcile()

    writes = [(kind, name) for verb, kind, name in engine.api.history if verb == "patch"]
    assert writes == [(names.CLASS_KIND, "standard"), (names.WORKSPACE_KIND, "acme")]
    assert held(engine)


@pytest.mark.parametrize("class_name", ["standard", None], ids=["by name", "by default"])
async def test_users_are_counted_and_named(engine: Engine, class_name: str | None) -> None:
    """An administrator must see who keeps a class, also those that only use it by default."""
    engine.api.make_class()
    for name in "abcdefg":
        engine.api.make_workspace(name, {"className": class_name} if class_name else {})
        await engine.reconcile(name)
    await classes(engine)

    assert status(engine)["workspaces"] == 7
    assert engine.api.condition("standard", "InUse", names.CLASS_KIND) == ("True", "InUse")
    assert engine.api.condition("standard", "Ready", names.CLASS_KIND) == ("True", "Ready")
    [message] = [c["message"] for c in status(engine)["conditions"] if c["type"] == "InUse"]
    assert message == "used by a, b, c, d, e and 2 more"


async def test_a_reconcile_of_an_unchanged_class_writes_nothing(engine: Engine) -> None:
    """At rest the operator must be silent, for classes too."""
    engine.api.make_class()
    engine.api.make_class("unused", default=False)
    engine.api.make_workspace("acme")
    await engine.reconcile()
    for name in ("standard", "unused"):
        await classes(engine, name)
    before = engine.api.writes
    for name in ("standard", "unused"):
        await classes(engine, name)

    assert engine.api.writes == before


async def test_nothing_is_said_before_everything_was_listed(engine: Engine) -> None:
    """A count from half a list would be written, and corrected, at each start of the operator."""
    engine.api.make_class()
    engine.fleet.complete = False

    assert await classes(engine) == 1
    assert engine.api.writes == 0


async def test_a_deleted_class_waits_for_its_last_user(engine: Engine) -> None:
    """CLASS: its ceilings bind its workspaces as long as they are there, and status says why it waits."""
    engine.api.make_class()
    for name in ("a", "b"):
        engine.api.make_workspace(name)
        await engine.reconcile(name)
    engine.api.delete_workspace("standard", names.CLASS_KIND)
    await classes(engine)
    told = [c["message"] for c in status(engine)["conditions"] if c["type"] == "InUse"]
    await forget(engine, "a")
    await classes(engine)
    waits = find(engine) is not None
    await forget(engine, "b")
    await classes(engine)

    assert told == ["used by a, b; deletion waits until none is left, and no new workspace may choose it"]
    assert (waits, find(engine)) == (True, None)
    assert engine.reasons().count("ClassInUse") == 1


async def test_a_class_that_is_going_takes_nobody_new_and_keeps_who_is_there(engine: Engine) -> None:
    """Else it would never go; and who is there must not suffer for its administrator's haste."""
    engine.api.make_class()
    engine.api.make_workspace("old", {"tools": [{"name": "shell"}]})
    await engine.settle("old")
    engine.api.delete_workspace("standard", names.CLASS_KIND)
    engine.api.make_workspace("new", {"className": "standard"})
    engine.api.make_workspace("by-default")
    for name in ("old", "new", "by-default"):
        await engine.reconcile(name)
    await classes(engine)

    assert engine.api.condition("old", "Ready") == ("True", "Ready")
    assert engine.api.condition("new", "Stalled") == ("True", "UnknownClass")
    assert engine.api.condition("by-default", "Stalled") == ("True", "UnknownClass")
    assert status(engine)["workspaces"] == 1
    [message] = [
        c["message"] for c in engine.api.workspace("new")["status"]["conditions"] if c["type"] == "Stalled"
    ]
    assert "not being deleted" in message


async def test_another_default_lets_the_old_one_go(engine: Engine) -> None:
    """Workspaces that name no class move on to the new default; two for a while must stall nobody."""
    engine.api.make_class("old")
    engine.api.make_workspace("acme")
    await engine.settle()
    engine.api.delete_workspace("old", names.CLASS_KIND)
    await classes(engine, "old")
    engine.api.make_class("new")
    await engine.reconcile()
    await classes(engine, "new")
    await classes(engine, "old")

    assert engine.api.condition("acme", "Ready") == ("True", "Ready")
    assert (find(engine, "old"), held(engine, "new")) == (None, True)


async def test_the_last_user_is_looked_for_in_a_fresh_list(engine: Engine) -> None:
    """What is remembered may be behind; letting go by it would take the class from under a workspace."""
    engine.api.make_class()
    engine.api.make_workspace("acme")
    await engine.reconcile()
    engine.fleet.forget("acme")  # as if its event had been lost
    engine.api.delete_workspace("standard", names.CLASS_KIND)
    await classes(engine)

    assert held(engine)
    assert status(engine)["workspaces"] == 1


async def test_an_unused_class_is_let_go(engine: Engine) -> None:
    """With the operator uninstalled nobody would take the finalizer off any more."""
    engine.api.make_class()
    engine.api.make_workspace("acme")
    await engine.reconcile()
    await classes(engine)
    await forget(engine, "acme")
    await classes(engine)

    assert not held(engine)
    assert status(engine)["workspaces"] == 0
    assert engine.api.condition("standard", "InUse", names.CLASS_KIND)[0] == "False"


async def test_others_finalizers_stay(engine: Engine) -> None:
    """They are somebody's reason to keep it."""
    made = engine.api.make_class()
    made["metadata"]["finalizers"] = ["example.com/keep"]
    engine.api.make_workspace("acme")
    await engine.reconcile()
    both = list(made["metadata"]["finalizers"])
    await forget(engine, "acme")
    engine.api.delete_workspace("standard", names.CLASS_KIND)
    await classes(engine)

    assert both == ["example.com/keep", names.CLASS_FINALIZER]
    assert made["metadata"]["finalizers"] == ["example.com/keep"]


@pytest.mark.parametrize("delays", [(a, b) for a in range(12) for b in range(12)], ids=str)
async def test_a_class_never_goes_from_under_a_workspace(engine: Engine, delays: tuple[int, int]) -> None:
    """RACE: creation, deletion of the class, and its release, at every distance from one another."""
    engine.api.make_class()
    engine.api.make_workspace("first")
    await engine.reconcile("first")
    await forget(engine, "first")

    async def turns(count: int) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def create() -> None:
        await turns(delays[0])
        engine.api.make_workspace("acme", {"className": "standard"})
        await engine.reconcile("acme")

    async def delete() -> None:
        await turns(delays[1])
        engine.api.delete_workspace("standard", names.CLASS_KIND)

    async def release() -> None:
        await classes(engine)

    await asyncio.gather(create(), delete(), release(), return_exceptions=True)
    for _ in range(3):  # whatever was too late looks again
        for again in (engine.reconcile("acme"), classes(engine)):
            try:
                await again
            except BulkheadError:
                continue

    accepted = names.FINALIZER in engine.api.workspace("acme")["metadata"].get("finalizers", ())
    assert accepted is (find(engine) is not None)


async def test_entering_and_letting_go_exclude_each_other() -> None:
    """Neither waits: who is late reads again."""
    use = ClassUse()
    since = use.stamp()
    with use.entering("a", since):
        with pytest.raises(Conflict), use.releasing("a"):
            pass
        with use.releasing("b"):
            pass
    with use.releasing("a"), pytest.raises(Conflict), use.entering("a", since):
        pass
    with pytest.raises(Conflict), use.entering("a", since):
        pass
    with use.entering("a", use.stamp()):
        pass


async def test_a_class_whose_runtime_class_is_missing_says_so(engine: Engine) -> None:
    """Before the first tenant meets it; and it is Ready again by itself."""
    engine.api.make_class(spec=SANDBOXED)
    engine.api.store.create({"kind": "Node", "metadata": {"name": "n"}})
    again_seconds = await classes(engine)
    missing = engine.api.condition("standard", "Ready", names.CLASS_KIND)
    engine.api.store.create({"kind": "RuntimeClass", "metadata": {"name": "gvisor"}})
    engine.parts.facts.invalidate()
    await classes(engine)

    assert (missing, again_seconds) == (("False", "RuntimeClassMissing"), 60)
    assert engine.api.condition("standard", "Ready", names.CLASS_KIND) == ("True", "Ready")


async def test_a_class_that_cannot_be_read_says_so(engine: Engine) -> None:
    """Its workspaces say UnknownClass; the reason is here."""
    engine.api.make_class(spec={"ceilings": {"tools": 400}})
    await classes(engine)

    assert engine.api.condition("standard", "Ready", names.CLASS_KIND) == ("False", "InvalidSpec")


async def test_agents_start_when_their_runtime_class_comes(engine: Engine) -> None:
    """FAIL-CLOSED: no tenant pod without its sandbox; the gateway serves meanwhile, and status says why."""
    engine.api.make_class(spec=SANDBOXED)
    engine.api.store.create({"kind": "Node", "metadata": {"name": "n"}})
    engine.api.make_workspace("acme", {"tools": [{"name": "shell"}]})
    await engine.reconcile()
    before = {name for kind, _, name in engine.api.store.objects if kind == "Deployment"}
    said = engine.api.condition("acme", "ToolsReady")
    engine.api.store.create({"kind": "RuntimeClass", "metadata": {"name": "gvisor"}})
    engine.parts.facts.invalidate()
    await engine.settle()

    assert (before, said) == ({"gateway"}, ("False", "RuntimeClassMissing"))
    assert ("Deployment", engine.namespace(), "tool-shell") in engine.api.store.objects


async def test_a_node_that_came_is_seen_within_seconds(engine: Engine) -> None:
    """Nobody is told that nothing fits by facts of a minute ago."""
    engine.api.make_class(spec={"isolation": {"level": "UserNamespace"}})
    engine.api.make_workspace("acme", {"tools": [{"name": "shell"}]})
    await engine.reconcile()
    handlers = [{"name": "", "features": {"userNamespaces": True}}]
    node = {"kind": "Node", "metadata": {"name": "n"}, "status": {"runtimeHandlers": handlers}}
    engine.api.store.create(node)
    await asyncio.sleep(6)
    await engine.reconcile()

    assert ("Deployment", engine.namespace(), "tool-shell") in engine.api.store.objects


async def test_a_cluster_that_cannot_be_read_starts_nothing_that_needs_it(engine: Engine) -> None:
    """Unknown means denied, and the rest of the workspace is repaired all the same."""
    engine.api.make_class(spec=SANDBOXED)
    engine.api.make_workspace("acme", {"tools": [{"name": "shell"}]})
    engine.api.refuse("list", "Node", Forbidden)
    await engine.reconcile()

    assert {name for kind, _, name in engine.api.store.objects if kind == "Deployment"} == {"gateway"}
