"""What the cluster can run, read when a reconcile needs it and remembered for a minute.

RuntimeClasses are watched, so their facts are renewed by their events. A watch on nodes would bring every
heartbeat and image list of every node, for facts that matter when pods are about to be made: nodes are
listed at most once a minute, and not at all while nobody asks. A node that joins lets a waiting gateway pod
be placed, and that event leads here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from bulkhead import quantity
from bulkhead.errors import InvalidValue, KubeError
from bulkhead.plan.facts import ClusterFacts, NodeFacts, Taint
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkhead.engine.clock import Clock
    from bulkhead.kube.client import KubeClient
    from bulkhead.plan.observed import Manifest

_DEFAULT_STORAGE_CLASS: Final = "storageclass.kubernetes.io/is-default-class"

__all__ = ["BELIEVED_SECONDS", "DOUBTED_SECONDS", "FactsSource", "node_facts"]

BELIEVED_SECONDS: Final = 60.0
DOUBTED_SECONDS: Final = 5.0  # no workspace is told that it cannot run by facts older than this


class FactsSource:
    """One reading for all who ask at the same time; a failed one is not remembered."""

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._facts: ClusterFacts | None = None
        self._read_at = float("-inf")  # monotonic
        self._outdated = 0  # counts invalidations: a reading that one overtakes is not remembered
        self._reading = asyncio.Lock()

    def invalidate(self) -> None:
        """What was read is over."""
        self._read_at = float("-inf")
        self._outdated += 1

    async def current(self, *, within_seconds: float = BELIEVED_SECONDS) -> ClusterFacts | None:
        """Facts at most so old; None: they cannot be read, which is not the same as there being none."""
        async with self._reading:
            if self._clock.monotonic() - self._read_at < within_seconds:
                return self._facts
            began, counted = self._clock.monotonic(), self._outdated
            try:
                nodes, classes, storage = await asyncio.gather(
                    self._client.list("Node"),
                    self._client.list("RuntimeClass"),
                    self._client.list("StorageClass"),
                )
            except KubeError as error:
                logs.warning(LogEvent.FACTS_UNKNOWN, error=str(error))
                self._facts, self._read_at = None, float("-inf")
                return None
            self._facts = ClusterFacts(
                runtime_classes=frozenset(each["metadata"]["name"] for each in classes),
                storage_classes=frozenset(each["metadata"]["name"] for each in storage),
                has_default_storage_class=any(map(_is_default, storage)),
                nodes=tuple(map(node_facts, nodes)),
            )
            if counted == self._outdated:
                self._read_at = began
            return self._facts


def node_facts(node: Manifest) -> NodeFacts:
    """The few facts of a node that are kept; what it does not say counts as nothing."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    room = status.get("allocatable") or {}
    return NodeFacts(
        name=node["metadata"]["name"],
        labels=dict(node["metadata"].get("labels") or {}),
        taints=tuple(
            Taint(key=each["key"], value=each.get("value", ""), effect=each["effect"])
            for each in spec.get("taints") or ()
        ),
        schedulable=not spec.get("unschedulable", False),
        cpu_millicores=_amount(room, "cpu", thousandths=True),
        memory_bytes=_amount(room, "memory"),
        ephemeral_bytes=_amount(room, "ephemeral-storage"),
        pods=_amount(room, "pods"),
        user_namespaces=_has_user_namespaces(status),
    )


def _is_default(storage_class: Manifest) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return bool(annotations.get(_DEFAULT_STORAGE_CLASS) == "true")


def _has_user_namespaces(status: Mapping[str, Any]) -> bool:
    """By the node's default handler, the one that pods without a RuntimeClass get."""
    for handler in status.get("runtimeHandlers") or ():
        if not handler.get("name"):
            return bool((handler.get("features") or {}).get("userNamespaces"))
    return False


def _amount(room: Mapping[str, Any], key: str, *, thousandths: bool = False) -> int:
    text = str(room.get(key, "0"))
    try:
        return quantity.millicores(text) if thousandths else quantity.whole(text)
    except InvalidValue:
        return 0
