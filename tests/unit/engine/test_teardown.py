"""Whole teardowns over the in-memory API server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkhead import names
from bulkhead.errors import Unavailable
from bulkhead.telemetry import logs

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Engine

    from bulkhead.engine.door import Reply

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

SPEC: dict[str, Any] = {"tools": [{"name": "shell"}]}


async def made(engine: Engine) -> None:
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    await engine.settle()


async def torn_down(engine: Engine, rounds: int = 20) -> None:
    for _ in range(rounds):
        if ("TenantWorkspace", None, "acme") not in engine.api.store.objects:
            return
        await engine.reconcile()
        engine.api.store.tick()
    raise AssertionError(engine.api.workspace("acme")["status"])


async def test_nothing_is_left(engine: Engine) -> None:
    """Not in the workspace's namespace, and not the key in the operator's."""
    await made(engine)
    engine.api.delete_workspace("acme")
    await torn_down(engine)

    assert {where for where in engine.api.store.objects if where[0] != names.CLASS_KIND} == set()
    assert engine.reasons()[-2:] == ["TeardownStarted", "TornDown"]


async def test_keys_go_first_and_the_namespace_last(engine: Engine) -> None:
    """Sessions must be dead before anything else is; pods end while their policies still stand."""
    await made(engine)
    engine.api.delete_workspace("acme")
    engine.api.history.clear()
    await torn_down(engine)

    deleted = [(kind, name) for verb, kind, name in engine.api.history if verb == "delete"]
    assert deleted[0][1].startswith("signing-key-")
    assert deleted[1] == ("Secret", "session-keys")
    assert deleted[-1][0] == "Namespace"


def serve(engine: Engine, address: str = "198.19.0.1") -> None:
    """Let the gateway's pod answer there."""
    pod = engine.api.store.objects["Pod", engine.namespace(), "gateway-0"]
    pod["status"] = {"podIP": address, "conditions": [{"type": "Ready", "status": "True"}]}


async def test_conversations_are_erased_before_the_key_and_the_gateway_go(engine: Engine) -> None:
    """Afterwards nobody can be asked, and a deleted volume may keep its bytes."""
    await made(engine)
    engine.api.store.tick()
    serve(engine)
    engine.api.delete_workspace("acme")
    deleted_before: list[int] = []
    ask = engine.door.ask

    async def asked(*where: Any, **request: Any) -> Reply | None:
        deleted_before.append(engine.api.calls["delete", "Secret"])
        return await ask(*where, **request)

    engine.door.ask = asked  # type: ignore[method-assign]
    uid = engine.api.workspace("acme")["metadata"]["uid"]
    await torn_down(engine)

    assert engine.door.erased == ["198.19.0.1"]
    assert deleted_before == [0]
    assert engine.door.forgotten == [uid]


async def test_a_gateway_that_does_not_erase_holds_nothing_up(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    """The volume goes all the same; that it may keep its bytes must be known to somebody."""
    logs.configure("info")
    await made(engine)
    engine.api.store.tick()
    serve(engine)
    engine.door.deaf.add("198.19.0.1")
    engine.api.delete_workspace("acme")
    await torn_down(engine)

    assert {where for where in engine.api.store.objects if where[0] != names.CLASS_KIND} == set()
    assert "memory.not_erased" in capsys.readouterr().out


async def test_the_spec_is_not_asked(engine: Engine) -> None:
    """A workspace whose spec or class has gone bad must be deletable."""
    await made(engine)
    engine.api.edit_spec("acme", tools="broken")
    del engine.api.store.objects[names.CLASS_KIND, None, "standard"]
    engine.api.delete_workspace("acme")
    await torn_down(engine)

    assert engine.api.store.objects == {}


async def test_a_foreign_finalizer_keeps_the_object_but_nothing_of_ours(engine: Engine) -> None:
    """Somebody else's finalizer is never taken off, and does not make us start again."""
    await made(engine)
    live = engine.api.workspace("acme")
    live["metadata"]["finalizers"].append("example.com/archive")
    engine.api.delete_workspace("acme")
    for _ in range(20):
        await engine.reconcile()
        engine.api.store.tick()
    before = engine.api.writes
    again_seconds = await engine.reconcile()

    assert engine.api.workspace("acme")["metadata"]["finalizers"] == ["example.com/archive"]
    assert (again_seconds, engine.api.writes) == (None, before)


async def test_a_failure_half_way_is_said_and_repeated(engine: Engine) -> None:
    """Teardown must survive an outage at any line."""
    await made(engine)
    engine.api.delete_workspace("acme")
    engine.api.refuse("delete", "Deployment", Unavailable, times=1)
    with pytest.raises(Unavailable):
        await engine.reconcile()
    status, reason = engine.api.condition("acme", "Ready")
    await torn_down(engine)

    assert (status, reason) == ("False", "Terminating")


async def test_a_namespace_that_is_not_ours_survives(engine: Engine) -> None:
    """Deletion goes by UID, never by name."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    space = engine.namespace()
    engine.api.store.create({"kind": "Namespace", "metadata": {"name": space, "labels": {}}})
    await engine.reconcile()
    engine.api.delete_workspace("acme")
    await torn_down(engine)

    assert ("Namespace", None, space) in engine.api.store.objects
