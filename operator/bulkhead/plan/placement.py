"""Can the cluster run a workspace's untrusted pods as its level asks? If not, none is made.

A level is a promise about the kernel between a tenant and a node. A pod that is made without its RuntimeClass
is refused by the API server and one without user namespaces by the kubelet, but only the versions that do so:
here it is decided from facts, the same for all, and said in status. What is not known counts as missing.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from bulkhead import quantity
from bulkhead.api.conditions import Reason
from bulkhead.api.workspace_class import IsolationLevel
from bulkhead.plan.findings import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkhead.api.effective import Effective, Isolation
    from bulkhead.api.workspace import Quota
    from bulkhead.api.workspace_class import Toleration
    from bulkhead.plan.facts import ClusterFacts, NodeFacts, Taint

__all__ = ["QUOTA_BEYOND", "isolation_problem", "placement_problem", "quota_beyond_nodes"]

QUOTA_BEYOND: Final = "spec.quota is more than all fitting nodes together have: "

_REPELLING: Final = frozenset({"NoSchedule", "NoExecute"})  # PreferNoSchedule is only a wish


def placement_problem(effective: Effective, facts: ClusterFacts | None) -> Problem | None:
    """Why no untrusted pod of this workspace may be made now, or None."""
    return isolation_problem(effective.isolation, facts)


def isolation_problem(isolation: Isolation, facts: ClusterFacts | None) -> Problem | None:
    """Why no untrusted pod with this isolation may be made now, or None.

    Baseline needs nothing of a node, so there a cluster without known nodes is no problem: an autoscaler may
    begin with none. Gateway and egress are made in any case, and their pods call for a node that also fits.
    """
    if isolation.level is IsolationLevel.BASELINE and (facts is None or not facts.nodes):
        return None
    if facts is None:
        message = "nodes and RuntimeClasses cannot be read; let the operator list them, it tries again"
        return Problem(Reason.NO_FITTING_NODE, f"isolation level {isolation.level}: {message}")
    wanted = isolation.runtime_class
    if isolation.level is IsolationLevel.SANDBOXED and wanted not in facts.runtime_classes:
        return Problem(
            Reason.RUNTIME_CLASS_MISSING,
            f"RuntimeClass {wanted}: does not exist, and level Sandboxed starts no pod without it; "
            "install it or edit spec.isolation of the class",
        )
    causes = [_misfit(node, isolation) for node in facts.nodes]
    if None in causes:
        return None
    return Problem(Reason.NO_FITTING_NODE, f"{_told(causes)}; add nodes or edit spec.isolation of the class")


def quota_beyond_nodes(effective: Effective, facts: ClusterFacts | None) -> str:
    """What of the quota is more than all fitting nodes together have, in one sentence; empty: nothing."""
    fitting = [node for node in facts.nodes if _misfit(node, effective.isolation) is None] if facts else []
    if not fitting:
        return ""
    beyond = _beyond(effective.quota, fitting)
    return f"{QUOTA_BEYOND}{', '.join(beyond)}" if beyond else ""


def _beyond(quota: Quota, nodes: Sequence[NodeFacts]) -> list[str]:
    cpu = sum(node.cpu_millicores for node in nodes)
    memory = sum(node.memory_bytes for node in nodes)
    disk = sum(node.ephemeral_bytes for node in nodes)
    pods = sum(node.pods for node in nodes)
    found: list[str] = []
    if quota.cpu is not None and (wanted := quantity.millicores(quota.cpu)) > cpu:
        found.append(f"cpu {quantity.format_millicores(wanted)} of {quantity.format_millicores(cpu)}")
    if quota.memory is not None and quantity.whole(quota.memory) > memory:
        found.append(f"memory {quota.memory} of {quantity.format_bytes(memory)}")
    asked = quota.ephemeral_storage
    if disk and asked is not None and quantity.whole(asked) > disk:
        found.append(f"ephemeralStorage {asked} of {quantity.format_bytes(disk)}")
    if quota.pods is not None and quota.pods > pods:
        found.append(f"pods {quota.pods} of {pods}")
    return found


def _misfit(node: NodeFacts, isolation: Isolation) -> str | None:
    """The first reason why untrusted pods cannot be on this node."""
    if not node.schedulable:
        return "cordoned"
    if any(node.labels.get(key) != value for key, value in isolation.node_selector.items()):
        return "without the labels of nodeSelector"
    repelled = [taint for taint in node.taints if not _is_tolerated(taint, isolation.tolerations)]
    if repelled:
        return f"with a taint that is not tolerated ({repelled[0].key})"
    if isolation.level is IsolationLevel.USER_NAMESPACE and not node.user_namespaces:
        return "unable to do user namespaces"
    return None


def _is_tolerated(taint: Taint, tolerations: Sequence[Toleration]) -> bool:
    return taint.effect not in _REPELLING or any(_tolerates(each, taint) for each in tolerations)


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    """As in k8s.io/component-helpers: an empty key, possible with Exists only, means every taint."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    return toleration.operator == "Exists" or (toleration.value or "") == taint.value


def _told(causes: Sequence[str | None]) -> str:
    """How many nodes fail by which cause; stable while the nodes are."""
    if not causes:
        return "the cluster has no node"
    counted = sorted(Counter(cause for cause in causes if cause is not None).items())
    return f"none of {len(causes)} nodes fits: {', '.join(f'{count} {cause}' for cause, count in counted)}"
