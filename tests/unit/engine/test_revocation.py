"""A raised epoch reaches every gateway that serves, at once, and status says so only when it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkhead.engine.door import Reply
from bulkhead.engine.revocation import Revocations

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Engine

    from bulkhead_wire.keys import VerifyKey

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def gateway(engine: Engine, name: str = "gateway-0", address: str = "198.19.0.1", **metadata: Any) -> None:
    """Let the gateway's pod of that name serve, or drain, at that address."""
    pods = engine.api.store.objects
    pod = pods.setdefault(
        ("Pod", engine.namespace(), name),
        {
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": engine.namespace(),
                "uid": f"uid-of-{name}",
                "labels": pods["Pod", engine.namespace(), "gateway-0"]["metadata"]["labels"],
            },
        },
    )
    pod["metadata"] |= metadata
    pod["status"] = READY | {"podIP": address}


async def served(engine: Engine) -> None:
    """A workspace whose one gateway is Ready."""
    engine.api.make_class()
    engine.api.make_workspace("acme", {})
    await engine.settle()
    engine.api.store.tick()
    gateway(engine)


def enforced(engine: Engine) -> int:
    """The epoch that status speaks for."""
    epoch: int = engine.api.workspace("acme")["status"]["gateway"]["sessionEpoch"]
    return epoch


async def test_a_raised_epoch_is_pushed_in_the_same_reconcile_and_told(engine: Engine) -> None:
    """Whoever revokes because of a stolen token must not wait for a kubelet."""
    await served(engine)
    engine.api.edit_spec("acme", sessionEpoch=4)
    await engine.reconcile()

    assert engine.door.epochs == [("198.19.0.1", 4)]
    assert enforced(engine) == 4
    assert engine.api.condition("acme", "Ready")[0] == "True"


async def test_no_workspace_that_never_revoked_costs_a_question(engine: Engine) -> None:
    """At a restart of the operator a thousand gateways would be asked for nothing."""
    await served(engine)
    await engine.reconcile()

    assert engine.door.epochs == []
    assert enforced(engine) == 0


async def test_a_gateway_that_does_not_answer_is_named_and_asked_again(engine: Engine) -> None:
    """Saying revoked while one still serves would be the worst answer of all."""
    await served(engine)
    gateway(engine, "gateway-1", "198.19.0.2")
    engine.door.deaf.add("198.19.0.2")
    engine.api.edit_spec("acme", sessionEpoch=4)
    again = await engine.reconcile()
    before = enforced(engine), engine.api.condition("acme", "GatewayReady")
    engine.door.deaf.clear()
    await engine.reconcile()

    assert again == 1.0
    assert before == (0, ("False", "RevocationPending"))
    assert engine.door.epochs == [("198.19.0.1", 4), ("198.19.0.2", 4)]
    assert enforced(engine) == 4


async def test_a_gateway_that_drains_is_told_too(engine: Engine) -> None:
    """What it has begun it goes on serving for seconds."""
    await served(engine)
    gateway(engine, "gateway-1", "198.19.0.2", deletionTimestamp="2026-11-01T09:00:30Z")
    engine.api.edit_spec("acme", sessionEpoch=4)
    await engine.reconcile()

    assert engine.door.epochs == [("198.19.0.1", 4), ("198.19.0.2", 4)]


async def test_a_confirmed_epoch_is_not_pushed_again_but_to_new_gateways(engine: Engine) -> None:
    """A no-op reconcile makes no noise; a gateway that became Ready later may have mounted an old file."""
    await served(engine)
    engine.api.edit_spec("acme", sessionEpoch=4)
    await engine.reconcile()
    await engine.reconcile()
    gateway(engine, "gateway-1", "198.19.0.2")
    await engine.reconcile()

    assert engine.door.epochs == [("198.19.0.1", 4), ("198.19.0.2", 4)]


async def test_a_pod_that_only_looks_like_a_gateway_is_told_nothing(engine: Engine) -> None:
    """The operator's token would be in its hands."""
    await served(engine)
    labels = {"bulkhead.dev/component": "gateway"}
    gateway(engine, "gateway-1", "198.19.0.2", labels=labels)
    engine.api.edit_spec("acme", sessionEpoch=4)
    await engine.reconcile()

    assert engine.door.epochs == [("198.19.0.1", 4)]


@pytest.mark.parametrize(
    "reply",
    [
        None,
        Reply(401, b'{"epoch":4}'),
        Reply(200, b"fine"),
        Reply(200, b'{"epoch":3}'),
        Reply(200, b'{"epoch":"4"}'),
        Reply(200, b"[4]"),
    ],
    ids=["nobody", "refused", "prose", "an earlier one", "text", "list"],
)
async def test_only_the_epoch_itself_confirms(reply: Reply | None) -> None:
    """Whatever listens at the address must say that it has done it."""

    class Door:
        def forget(self, uid: str) -> None:
            raise AssertionError(uid)

        async def gateway_key(self, uid: str) -> VerifyKey | None:
            raise AssertionError(uid)

        async def ask(self, *_: Any, **__: Any) -> Reply | None:
            return reply

    labels = {"bulkhead.dev/component": "gateway", "bulkhead.dev/workspace-uid": "u-1"}
    pod = {"metadata": {"name": "gateway-0", "uid": "p", "labels": labels}, "status": READY | {"podIP": "x"}}

    assert await Revocations(Door()).push("u-1", 4, [pod]) == ("gateway-0",)
