"""What the cluster can run, as read from the in-memory API server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead.engine.facts import BELIEVED_SECONDS, node_facts
from bulkhead.errors import Forbidden
from bulkhead.plan.facts import NodeFacts, Taint

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Engine

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def node(name: str = "n1", **fields: Any) -> dict[str, Any]:
    return {"kind": "Node", "metadata": {"name": name, "labels": {"zone": "a"}}, **fields}


async def test_the_few_facts_of_a_node_are_kept() -> None:
    """A level is decided from them; the rest of a node, its image list above all, is not kept."""
    read = node_facts(
        node(
            spec={
                "unschedulable": True,
                "taints": [
                    {"key": "gpu", "value": "yes", "effect": "NoSchedule"},
                    {"key": "x", "effect": "y"},
                ],
            },
            status={
                "allocatable": {
                    "cpu": "1930m",
                    "memory": "7Gi",
                    "pods": "110",
                    "ephemeral-storage": "18242267924",
                },
                "runtimeHandlers": [
                    {"name": "runsc", "features": {"userNamespaces": False}},
                    {"name": "", "features": {"userNamespaces": True}},
                ],
                "images": [{"names": ["big"]}],
            },
        )
    )

    assert read == NodeFacts(
        name="n1",
        labels={"zone": "a"},
        taints=(
            Taint(key="gpu", value="yes", effect="NoSchedule"),
            Taint(key="x", effect="y"),
        ),
        schedulable=False,
        cpu_millicores=1930,
        memory_bytes=7 * 1024**3,
        ephemeral_bytes=18242267924,
        pods=110,
        user_namespaces=True,
    )


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"runtimeHandlers": None},
        {"runtimeHandlers": [{"name": "runsc", "features": {"userNamespaces": True}}]},
        {"runtimeHandlers": [{"name": "", "features": None}]},
        {"allocatable": {"cpu": "many"}},
    ],
)
async def test_what_a_node_does_not_say_it_cannot_do(status: dict[str, Any]) -> None:
    """Unknown means denied: a pod of that level would run with the node's own user ids."""
    read = node_facts(node(status=status))

    assert (read.user_namespaces, read.cpu_millicores) == (False, 0)


async def test_storage_classes_and_the_default_one_are_known(engine: Engine) -> None:
    """Why a volume is not made is said by them."""
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    before = await engine.parts.facts.current()
    engine.api.store.create({"kind": "StorageClass", "metadata": {"name": "slow"}})
    engine.api.store.create({"kind": "StorageClass", "metadata": {"name": "fast", "annotations": default}})
    after = await engine.parts.facts.current(within_seconds=0)

    assert before is not None
    assert (before.storage_classes, before.has_default_storage_class) == (frozenset(), False)
    assert after is not None
    assert (after.storage_classes, after.has_default_storage_class) == (frozenset({"slow", "fast"}), True)


async def test_nodes_are_listed_once_a_minute_however_many_ask(engine: Engine) -> None:
    """Two thousand workspaces in a flood of reconciles must not list two thousand times."""
    engine.api.calls.clear()
    await asyncio.gather(*(engine.parts.facts.current() for _ in range(5)))
    first = engine.api.calls["list", "Node"]
    await asyncio.sleep(BELIEVED_SECONDS - 1)
    await engine.parts.facts.current()
    second = engine.api.calls["list", "Node"]
    await asyncio.sleep(1)
    await engine.parts.facts.current()

    assert (first, second, engine.api.calls["list", "Node"]) == (1, 1, 2)


async def test_what_cannot_be_read_is_unknown_and_is_asked_again(engine: Engine) -> None:
    """A failure that was remembered would keep tenants from starting for a minute."""
    engine.api.refuse("list", "Node", Forbidden, times=1)

    assert await engine.parts.facts.current() is None
    assert await engine.parts.facts.current() is not None


async def test_a_runtime_class_that_comes_is_known_at_once(engine: Engine) -> None:
    """Its event says that what was read is over."""
    await engine.parts.facts.current()
    engine.api.store.create({"kind": "RuntimeClass", "metadata": {"name": "gvisor"}})
    engine.parts.facts.invalidate()
    facts = await engine.parts.facts.current()

    assert facts is not None
    assert facts.runtime_classes == {"gvisor"}
