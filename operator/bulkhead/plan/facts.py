"""What the cluster can run: facts about nodes, RuntimeClasses and StorageClasses, as data.

What could not be read counts as missing: a pod of a tenant that might not be contained is not started.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ClusterFacts", "NodeFacts", "Taint"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    """As in core/v1 Node `spec.taints[]`."""

    key: str
    value: str = ""
    effect: str  # NoSchedule | NoExecute | PreferNoSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeFacts:
    """One node; amounts are `status.allocatable`."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    schedulable: bool = True  # not cordoned
    cpu_millicores: int = 0
    memory_bytes: int = 0
    ephemeral_bytes: int = 0  # 0: the node does not say
    pods: int = 0
    # status.runtimeHandlers[name == ""].features.userNamespaces; a node that does not say cannot.
    user_namespaces: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """All nodes, and the names of all RuntimeClasses and StorageClasses."""

    runtime_classes: frozenset[str] = frozenset()
    storage_classes: frozenset[str] = frozenset()
    has_default_storage_class: bool = False
    nodes: tuple[NodeFacts, ...] = ()
