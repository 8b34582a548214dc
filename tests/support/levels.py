"""Classes of each isolation level, workspaces of them, and pods that their tenants make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from support.packets import Place

from kubelive import Live, Ref, wait_until
from kubelive.install import image_references
from kubelive.workspaces import namespace_of, pod_of, ready, workspace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "ADMIN",
    "FRUGAL",
    "LEVELS",
    "PATIENCE_SECONDS",
    "SOURCES",
    "UNTRUSTED",
    "Tenant",
    "class_manifest",
    "class_of",
    "isolation",
    "level_workspace",
    "pod_ready",
    "serving",
    "settle",
    "tenant_pod",
]

Manifest = dict[str, Any]
# A test node has two cores, and other tests' twenty workspaces must fit beside these.
FRUGAL: Final[Manifest] = {
    each: {"requests": {"cpu": "10m"}} for each in ("gateway", "egress", "runtime", "tool")
}
LEVELS: Final = ("Baseline", "UserNamespace", "Sandboxed")
ADMIN: Final = "levels-admin"  # has role admin in every workspace of these tests, and no other right
PATIENCE_SECONDS: Final = 180.0  # many pods at once on a small machine

TENANT_MADE: Final = ("caller", "serving")  # the first may call the second, by a policy of the tenant's own
UNTRUSTED: Final = ("runtime", "tool-search", "tool-plain", *TENANT_MADE)
SOURCES: Final = ("gateway", "egress", *UNTRUSTED)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A Ready workspace whose admin has made two pods; `pods` and `places` by name: see SOURCES."""

    level: str
    name: str
    namespace: str
    admin: Live
    pods: dict[str, Manifest]

    def place(self, source: str) -> Place:
        """The container of that pod."""
        pod = self.pods[source]
        return Place(self.namespace, pod["metadata"]["name"], pod["spec"]["containers"][0]["name"])


def class_of(level: str) -> str:
    """The class of these tests with that level."""
    return f"level-{level.lower()}"


def isolation(level: str) -> Manifest:
    """`spec.isolation` of a class with that level."""
    return {"level": level, "runtimeClassName": "gvisor"} if level == "Sandboxed" else {"level": level}


def class_manifest(name: str, **spec: object) -> Manifest:
    """A class that allows what these tests use; `spec` replaces whole fields."""
    return {
        "apiVersion": "bulkhead.dev/v1alpha1",
        "kind": "WorkspaceClass",
        "metadata": {"name": name},
        "spec": {
            "defaults": {"lifecycle": {"ttl": "2h"}, "resources": FRUGAL},
            "ceilings": {"ttl": "4h", "tools": 4},
            "allowed": {"egressHosts": ["*.world.test"]},
            "gateway": {"clients": [{"namespaceLabels": {"bulkhead.dev/gateway-client": "true"}}]},
            **spec,
        },
    }


def level_workspace(name: str) -> Manifest:
    """A workspace of the class of that name: all that can send a packet, and room for the tenant's own."""
    return workspace(
        name,
        className=name,
        quota={"cpu": "16", "memory": "16Gi", "pods": 20},
        access=[{"kind": "User", "name": ADMIN, "role": "admin"}],
        runtime={},
        egress=[{"host": "allowed.world.test"}],
        tools=[{"name": "search", "egress": [{"host": "denied.world.test"}]}, {"name": "plain"}],
    )


def settle(live: Live, levels: Mapping[str, str]) -> dict[str, Tenant]:
    """A tenant for each level -> workspace, all their pods Ready; the workspaces were applied before."""
    admin = Live(as_user=ADMIN, as_groups=("system:authenticated",))
    for name in levels.values():
        ready(live, name, timeout_seconds=PATIENCE_SECONDS)
    spaces = {level: namespace_of(live, name) for level, name in levels.items()}
    for namespace in spaces.values():
        for manifest in _of_the_tenant(namespace):
            admin.create(manifest)
    return {
        level: Tenant(level, levels[level], namespace, admin, _pods(live, namespace))
        for level, namespace in spaces.items()
    }


def serving(port: int = 8000) -> list[str]:
    """A command that answers HTTP on that port and writes nothing but its log."""
    return ["python3", "-m", "http.server", str(port), "--directory", "/usr/share"]


def tenant_pod(namespace: str, name: str, *, command: Sequence[str]) -> Manifest:
    """A bare pod as a tenant's admin writes it: hard, and with no word about guard, level or resources."""
    container: Manifest = {
        "name": "main",
        "image": image_references()["sandbox"],
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container],
        },
    }


def pod_ready(live: Live, namespace: str, name: str) -> Manifest:
    """The pod once it is Ready; what keeps it from it is in the failure."""
    ref = Ref("Pod", name, namespace)

    def probe() -> Manifest | None:
        pod = live.get(ref)
        found = {c["type"]: c["status"] for c in pod["status"].get("conditions", [])}
        return pod if found.get("Ready") == "True" else None

    def seen() -> str:
        status = live.get(ref)["status"]
        states = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
        return f"{status.get('phase')} " + ", ".join(f"{each['name']}: {each['state']}" for each in states)

    return wait_until(f"pod {namespace}/{name} Ready", probe, timeout_seconds=PATIENCE_SECONDS, describe=seen)


def _of_the_tenant(namespace: str) -> Iterable[Manifest]:
    """Policies first: what a label opens is open when the pod starts."""
    caller, server = TENANT_MADE
    chosen = {name: {"podSelector": {"matchLabels": {"app": name}}} for name in TENANT_MADE}
    ports = [{"port": 8000, "protocol": "TCP"}]
    for name, spec in {
        "out-of-caller": {"policyTypes": ["Egress"], "egress": [{"to": [chosen[server]], "ports": ports}]},
        "into-serving": {"policyTypes": ["Ingress"], "ingress": [{"from": [chosen[caller]], "ports": ports}]},
    }.items():
        selected = chosen[caller if "egress" in spec else server]
        yield {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {**selected, **spec},
        }
    yield {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": server, "namespace": namespace},
        "spec": {"selector": {"app": server}, "ports": [{"port": 8000}]},
    }
    for name in TENANT_MADE:
        yield tenant_pod(namespace, name, command=serving())


def _pods(live: Live, namespace: str) -> dict[str, Manifest]:
    def running(source: str) -> Manifest:
        if source in TENANT_MADE:
            return pod_ready(live, namespace, source)
        component, _, tool = source.partition("-")
        return pod_of(live, namespace, component, tool=tool or None)

    return {source: running(source) for source in SOURCES}
