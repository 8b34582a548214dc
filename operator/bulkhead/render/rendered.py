"""What render hands to plan: manifests in the order in which they may come into being."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from typing_extensions import override

from bulkhead import names

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Manifest", "ObjectKey", "Rendered", "Wave", "is_pod_bearing", "key_of", "wave_of"]

Manifest = dict[str, Any]


class ObjectKey(NamedTuple):
    """Identity of a child inside its workspace: kind and name."""

    kind: str
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


class Wave(IntEnum):
    """The order up; a wave starts when every object of the waves before it is in place."""

    NAMESPACE = 0
    RIGHTS = 1  # the operator's own rights inside the namespace
    QUOTA = 2
    ACCESS = 3  # service accounts, bindings of tenant roles
    NETWORK = 4
    SUPPORT = 5  # secrets, volumes, Services: what pods need and cannot act by itself
    DOORS = 6  # gateway and egress: our own code
    AGENTS = 7  # runtime and tools: tenant code, last


_WAVE_BY_KIND = {
    "Namespace": Wave.NAMESPACE,
    "ResourceQuota": Wave.QUOTA,
    "LimitRange": Wave.QUOTA,
    "ServiceAccount": Wave.ACCESS,
    "Role": Wave.ACCESS,  # none of ours any more: those of an older release are removed
    "RoleBinding": Wave.ACCESS,
    "NetworkPolicy": Wave.NETWORK,
    "Secret": Wave.SUPPORT,
    "PersistentVolumeClaim": Wave.SUPPORT,
    "Service": Wave.SUPPORT,
    "Deployment": Wave.AGENTS,
}
_POD_BEARING = frozenset({"Deployment"})


def wave_of(key: ObjectKey) -> Wave:
    """The wave of a managed object; the name matters only for the two exceptions."""
    if key == ObjectKey("RoleBinding", names.OPERATOR_BINDING):
        return Wave.RIGHTS
    if key.kind == "Deployment" and key.name in {names.GATEWAY, names.EGRESS}:
        return Wave.DOORS
    return _WAVE_BY_KIND[key.kind]


def is_pod_bearing(key: ObjectKey) -> bool:
    """Whether the object makes pods, so that every policy must be in place before it."""
    return key.kind in _POD_BEARING


def key_of(manifest: Manifest) -> ObjectKey:
    """The identity of a manifest."""
    return ObjectKey(manifest["kind"], manifest["metadata"]["name"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """Everything that shall exist, in apply order, and what cannot be written down yet."""

    namespace: str
    gateway_url: str
    manifests: tuple[Manifest, ...]
    # Wanted, but facts are missing ("Service gateway", "Secret platform/search:token"): never pruned.
    withheld: Mapping[ObjectKey, tuple[str, ...]] = field(default_factory=dict)

    @property
    def waiting_for(self) -> tuple[str, ...]:
        """The missing facts, each once."""
        return tuple(sorted({fact for facts in self.withheld.values() for fact in facts}))
