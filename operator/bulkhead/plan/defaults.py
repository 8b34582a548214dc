"""What the API server adds to our manifests by itself, kind by kind; anything else that is added is foreign.

From k8s.io/kubernetes pkg/apis/*/v1/defaults.go, and checked against answers of a real API server
(tests/golden/live). A default that is missing here shows as drift that no repair cures, so render writes out
what it can.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANY", "NOTHING_ADDED", "SECTIONS", "SHAPES", "SameAs", "Shape"]


class _Any:
    """A field that the API server or a controller owns: whatever its value is."""


@dataclass(frozen=True, slots=True)
class SameAs:
    """A field that mirrors another one of the same object."""

    field: str


ANY: Final = _Any()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What may stand in a live object beside what we wrote, level by level."""

    added: Mapping[str, object] = field(default_factory=dict)  # field -> default, ANY or SameAs
    inside: Mapping[str, Shape] = field(default_factory=dict)  # field -> shape of it, or of each list item
    key: str | None = None  # list items are told apart by this field; None: by position
    cooperative: bool = False  # others may add fields


NOTHING_ADDED: Final = Shape()

_CONTAINER: Final = Shape(
    key="name",
    added={"terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"},
    inside={"env": Shape(key="name"), "volumeMounts": Shape(key="mountPath")},
)
_POD: Final = Shape(
    added={"schedulerName": "default-scheduler", "serviceAccount": SameAs("serviceAccountName")},
    # One init container at most, so that its place cannot differ; tolerations are compared in their order.
    inside={"containers": _CONTAINER, "initContainers": _CONTAINER, "volumes": Shape(key="name")},
)
_TEMPLATE_METADATA: Final = Shape(
    added={"creationTimestamp": None},
    # `kubectl rollout restart` is an administrator's way to restart, not an edit of the pod.
    inside={"annotations": Shape(added={"kubectl.kubernetes.io/restartedAt": ANY})},
)
_DEPLOYMENT: Final = Shape(
    inside={"template": Shape(inside={"metadata": _TEMPLATE_METADATA, "spec": _POD})},
)
_SERVICE: Final = Shape(
    added={
        "clusterIP": ANY,
        "clusterIPs": ANY,
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ANY,
        "ipFamilyPolicy": ANY,
        "sessionAffinity": "None",
    },
    inside={"ports": Shape(key="name")},
)

# Kind -> the parts that are compared. Beside them metadata: our labels, annotations and owner references.
SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Namespace": (),
    "RoleBinding": ("roleRef", "subjects"),
    "ResourceQuota": ("spec",),
    "LimitRange": ("spec",),
    "ServiceAccount": ("automountServiceAccountToken",),
    "Role": ("rules",),
    "NetworkPolicy": ("spec",),
    "Secret": ("data", "immutable", "type"),
    "PersistentVolumeClaim": ("spec",),
    "Service": ("spec",),
    "Deployment": ("spec",),
}
# Kinds without a shape are compared whole, with nothing added.
SHAPES: Final[Mapping[str, Shape]] = {
    "PersistentVolumeClaim": Shape(inside={"spec": Shape(cooperative=True)}),  # binding fills in the volume
    "Service": Shape(inside={"spec": _SERVICE}),
    "Deployment": Shape(inside={"spec": _DEPLOYMENT}),
}
