"""Namespaces as the operator makes them, by hand, and a tenant's people in them: for tests of the fences."""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.pod_edits import compliant

from bulkhead import names
from kubelive import ApiRefusal, Live, Ref, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = [
    "ALLOWED_IMAGES",
    "GUARD_CONFIG",
    "GUARD_IMAGE",
    "LEVELS",
    "RUNTIME_CLASS",
    "Space",
    "bound",
    "forbidden",
    "furnish",
    "refusal_of",
    "refused",
    "runtime_classes",
    "space",
]

Manifest = dict[str, Any]
LEVELS: Final = ("Baseline", "UserNamespace", "Sandboxed")
RUNTIME_CLASS: Final = "fences-sandbox"
GUARD_IMAGE: Final = "registry.example/bulkhead/sandbox:0.1.0"
GUARD_CONFIG: Final = '{"gateway":"10.0.0.9:8082"}'
ALLOWED_IMAGES: Final = f"registry.example/agents/* {GUARD_IMAGE}"
RBAC: Final = "rbac.authorization.k8s.io"
POD_SECURITY_LABELS: Final = {
    f"pod-security.kubernetes.io/{mode}{suffix}": value
    for mode in ("audit", "enforce", "warn")
    for suffix, value in (("", "restricted"), ("-version", "latest"))
}
_VERSIONS: Final = {
    **dict.fromkeys(("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"), "apps/v1"),
    **dict.fromkeys(("CronJob", "Job"), "batch/v1"),
    **dict.fromkeys(("Role", "RoleBinding"), f"{RBAC}/v1"),
    "NetworkPolicy": "networking.k8s.io/v1",
}
ACCOUNTS: Final = ("gateway", "egress", "runtime", "tool-search")


@dataclass(frozen=True, slots=True)
class Space:
    """A workspace's namespace and the person with the role `admin` in it."""

    name: str
    uid: str
    lead: Live

    @property
    def labels(self) -> dict[str, str]:
        """What the operator's own objects in it carry."""
        return names.workspace_labels(self.name.removeprefix("bh-"), self.uid)

    def manifest(self, kind: str, name: str, **fields: Any) -> Manifest:
        """An object of the tenant's in this namespace."""
        return {
            "apiVersion": _VERSIONS.get(kind, "v1"),
            "kind": kind,
            "metadata": {"name": name, "namespace": self.name},
            **fields,
        }


def namespace(
    name: str, uid: str, level: str = "Baseline", *, pod_security: bool = True, **annotations: str | None
) -> Manifest:
    """The namespace of one level; `pod_security=False` leaves our own policies alone with it."""
    told = {
        names.ALLOWED_IMAGES_ANNOTATION: ALLOWED_IMAGES,
        names.GUARD_IMAGE_ANNOTATION: GUARD_IMAGE,
        names.GUARD_CONFIG_ANNOTATION: GUARD_CONFIG,
        names.RUNTIME_CLASS_ANNOTATION: RUNTIME_CLASS if level == "Sandboxed" else None,
        **{f"{names.GROUP}/{key.replace('_', '-')}": value for key, value in annotations.items()},
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name,
            "labels": {
                **names.workspace_labels(name.removeprefix("bh-"), uid),
                names.ISOLATION_LABEL: level,
                **(POD_SECURITY_LABELS if pod_security else {}),
            },
            "annotations": {key: value for key, value in told.items() if value is not None},
        },
    }


@contextlib.contextmanager
def space(
    glass: Live, level: str = "Baseline", *, pod_security: bool = True, **annotations: str | None
) -> Iterator[Space]:
    """A namespace of its own for as long as it lasts, with a bound admin and the operator's accounts."""
    name, uid = f"bh-fences-{uuid.uuid4().hex[:8]}", str(uuid.uuid4())
    glass.create(namespace(name, uid, level, pod_security=pod_security, **annotations))
    try:
        found = Space(name, uid, bound(glass, name, "admin"))
        for account in ACCOUNTS:
            meta = {"name": account, "namespace": name, "labels": found.labels}
            glass.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
        default = Ref("ServiceAccount", "default", name)
        wait_until("the default ServiceAccount", lambda: glass.find(default) is not None)
        yield found
    finally:
        glass.delete(Ref("Namespace", name))


def furnish(glass: Live, where: Space) -> None:
    """Make one object of each kind that the operator keeps in a workspace."""

    def ours(kind: str, name: str, **fields: Any) -> Manifest:
        manifest = where.manifest(kind, name, **fields)
        manifest["metadata"]["labels"] = where.labels
        return manifest

    door = {**where.labels, names.COMPONENT_LABEL: "gateway"}
    pod = compliant()
    pod["containers"][0]["image"] = "registry.example/bulkhead/sandbox:0.1.0"
    template = {"metadata": {"labels": door}, "spec": {**pod, "serviceAccountName": "gateway"}}
    for manifest in (
        ours("ResourceQuota", "workspace", spec={"hard": {"pods": "20"}}),
        ours("LimitRange", "workspace", spec={"limits": [{"type": "Container", "default": {"cpu": "1"}}]}),
        ours("NetworkPolicy", "default-deny", spec={"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
        ours("Secret", "session-keys", stringData={"jwks.json": "{}"}),
        ours("Service", "gateway", spec={"ports": [{"port": 8080}], "selector": door}),
        ours(
            "Deployment",
            "gateway",
            spec={"replicas": 1, "selector": {"matchLabels": door}, "template": template},
        ),
    ):
        glass.create(manifest)


def bound(glass: Live, namespace: str, role: str) -> Live:
    """A person with one of the tenant roles in the namespace, once the API server knows it."""
    user = f"fences-{role}@{namespace}.example"
    carried = glass.get(Ref("Namespace", namespace))["metadata"]["labels"]
    labels = {key: carried[key] for key in names.workspace_labels("", "")}
    glass.create(
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": names.tenant_role(role), "namespace": namespace, "labels": labels},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": names.tenant_cluster_role(role)},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
        }
    )
    person = Live(as_user=user, as_groups=("system:authenticated",))

    def let_in() -> bool:
        try:
            person.items("Pod", namespace)
        except ApiRefusal:
            return False
        return True

    wait_until(f"the rights of {user}", let_in, timeout_seconds=20, interval_seconds=0.02)
    return person


@contextlib.contextmanager
def runtime_classes(glass: Live) -> Iterator[None]:
    """The RuntimeClass of the sandboxed level and another one; the API server refuses unknown ones itself."""
    for name in (RUNTIME_CLASS, "fences-other"):
        overhead = {"podFixed": {"cpu": "10m"}}
        glass.apply(
            {
                "apiVersion": "node.k8s.io/v1",
                "kind": "RuntimeClass",
                "metadata": {"name": name},
                "handler": "runsc",
                "overhead": overhead,
            }
        )
    yield
    for name in (RUNTIME_CLASS, "fences-other"):
        glass.delete(Ref("RuntimeClass", name))


def refused(live: Live, method: str, path: str, body: object = None) -> str:
    """The message of a refusal with code 403; a PATCH is a merge patch; anything else fails."""
    patch = "application/merge-patch+json"
    with pytest.raises(ApiRefusal) as caught:
        live.call(method, path, body, content_type=patch if method == "PATCH" else "application/json")
    assert (caught.value.status, caught.value.reason) == (403, "Forbidden"), caught.value
    return caught.value.message


def forbidden(live: Live, manifest: Mapping[str, Any]) -> str:
    """The message with which creating it is refused as 403 Forbidden; anything else fails."""
    with pytest.raises(ApiRefusal) as caught:
        live.create(dict(manifest), dry_run=True)
    assert (caught.value.status, caught.value.reason) == (403, "Forbidden"), caught.value
    return caught.value.message


def refusal_of(live: Live, manifest: Mapping[str, Any]) -> tuple[int, str]:
    """Status and message with which the API server refuses to create it; (201, "") if it does not."""
    try:
        live.create(dict(manifest), dry_run=True)
    except ApiRefusal as refusal:
        return refusal.status, refusal.message
    return 201, ""
