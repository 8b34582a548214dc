"""A workspace made by hand, for tests of admission: its namespace and one object of each sort."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from bulkhead import names

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FOREIGN",
    "IMAGE",
    "MINE",
    "OWN",
    "SPACE",
    "UID",
    "WORKSPACE",
    "changed",
    "contents",
    "labelled",
    "labels",
    "named",
    "namespace",
    "owned",
    "pod",
    "thing",
    "with_uid",
]

WORKSPACE = "fences"
SPACE = "bh-fences-0feed"  # a name that no operator derives: none takes it for its own
FOREIGN = "fences-foreign"
OWN = "bulkhead-system"  # the operator's
IMAGE = "registry.example/agents/one:1"
MINE = {"team": "acme"}  # a tenant's own labels
UID = "00000000-0000-0000-0000-00000000feed"  # in tables; `with_uid` puts the real one there

Manifest = dict[str, Any]


def with_uid(value: Any, uid: str) -> Any:
    """The same with the workspace's real UID."""
    match value:
        case dict():
            return {with_uid(key, uid): with_uid(each, uid) for key, each in value.items()}
        case list():
            return [with_uid(each, uid) for each in value]
        case str():
            return value.replace(UID, uid)
        case _:
            return value


def changed(manifest: Manifest, change: Callable[[Manifest], object]) -> Manifest:
    """A copy with one thing changed."""
    copied = copy.deepcopy(manifest)
    change(copied)
    return copied


def labelled(key: str, value: str | None) -> Callable[[Manifest], object]:
    """A change of one label; None takes it off."""
    if value is None:
        return lambda manifest: manifest["metadata"]["labels"].pop(key)
    return lambda manifest: manifest["metadata"]["labels"].update({key: value})


def named(name: str) -> Callable[[Manifest], object]:
    """Another name."""
    return lambda manifest: manifest["metadata"].update({"name": name})


def owned(**fields: object) -> Callable[[Manifest], object]:
    """Another owner."""
    return lambda manifest: manifest["metadata"]["ownerReferences"][0].update(fields)


def labels(component: str | None = None) -> dict[str, str]:
    """What the operator puts on everything."""
    base = {
        "app.kubernetes.io/managed-by": "bulkhead",
        "bulkhead.dev/workspace": WORKSPACE,
        "bulkhead.dev/workspace-uid": UID,
    }
    return base if component is None else base | {"bulkhead.dev/component": component}


def namespace(name: str = SPACE) -> Manifest:
    """As the operator makes it."""
    levels = {
        f"pod-security.kubernetes.io/{mode}{suffix}": value
        for mode in ("audit", "enforce", "warn")
        for suffix, value in (("", "restricted"), ("-version", "latest"))
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                **labels(),
                **levels,
                **names.belt_labels(name),
                "bulkhead.dev/isolation-level": "Baseline",
            },
            "annotations": {
                "bulkhead.dev/allowed-images": IMAGE,
                "bulkhead.dev/guard-image": IMAGE,
                "bulkhead.dev/guard-config": '{"gateway":"10.96.0.10:8082"}',
            },
            "ownerReferences": [
                {
                    "apiVersion": "bulkhead.dev/v1alpha1",
                    "kind": "TenantWorkspace",
                    "name": WORKSPACE,
                    "uid": UID,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
    }


def thing(
    api_version: str, kind: str, name: str, its_labels: dict[str, str] | None = None, /, **fields: Any
) -> Manifest:
    """Any object in the workspace; a tenant's own unless the labels say otherwise."""
    return _object(api_version, kind, name, its_labels or MINE, **fields)


def pod(name: str, pod_labels: dict[str, str]) -> Manifest:
    """A restricted pod that waits at its gate for ever."""
    return _object("v1", "Pod", name, pod_labels, spec=_pod_spec())


def _pod_spec() -> Manifest:
    return {
        "schedulingGates": [{"name": "bulkhead.test/never"}],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "main",
                "image": IMAGE,
                "resources": {"requests": {"cpu": "1m"}, "limits": {"cpu": "10m", "memory": "16Mi"}},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }


def contents() -> list[Manifest]:
    """Objects of ours, then a tenant's own."""
    chosen = {"bulkhead.dev/component": "gateway"}
    rbac = "rbac.authorization.k8s.io"
    return [
        _object("v1", "ResourceQuota", "workspace", labels(), spec={"hard": {"pods": "20"}}),
        _object("v1", "ServiceAccount", "gateway", labels("gateway"), automountServiceAccountToken=False),
        _object("v1", "Secret", "session-keys", labels(), type="Opaque"),
        _object(
            "v1", "Service", "gateway", labels("gateway"),
            spec={"selector": chosen, "ports": [{"port": 8080}]},
        ),
        _object("networking.k8s.io/v1", "NetworkPolicy", "default-deny", labels(), spec={"podSelector": {}}),
        _object(
            f"{rbac}/v1", "RoleBinding", "tenant-view", labels(),
            roleRef={"apiGroup": rbac, "kind": "ClusterRole", "name": "bulkhead-tenant-view"},
            subjects=[{"apiGroup": rbac, "kind": "Group", "name": "acme-devs"}],
        ),
        _object(
            "apps/v1", "Deployment", "gateway", labels("gateway"),
            spec={
                "replicas": 0,
                "selector": {"matchLabels": chosen},
                "template": {"metadata": {"labels": labels("gateway")}, "spec": _pod_spec()},
            },
        ),
        pod("gateway-5d5d5-abcde", labels("gateway")),
        _object("v1", "ConfigMap", "own", {"team": "acme"}, data={"key": "value"}),
        pod("own", {"team": "acme"}),
    ]  # fmt: skip


def _object(api_version: str, kind: str, name: str, its_labels: dict[str, str], **fields: Any) -> Manifest:
    metadata = {"name": name, "namespace": SPACE, "labels": its_labels}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}
