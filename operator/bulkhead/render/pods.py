"""Pods as hard as `restricted` allows and harder; every field that matters is written out.

What is written out is ours under server-side apply; what is left to the API server's defaults must be in
`plan.defaults`, else it counts as drift. A `false` that the API server drops (hostNetwork, hostPID, hostIPC)
is not written: it would never compare equal, and a live `true` is foreign anyway.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.api.workspace_class import IsolationLevel
from bulkhead.render.meta import config_hash, labels, metadata, selector
from bulkhead.render.resources import complete

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bulkhead.api.effective import Effective, Isolation
    from bulkhead.api.workspace import Resources
    from bulkhead.api.workspace_class import Toleration
    from bulkhead.render.context import RenderContext, SecretValue
    from bulkhead.render.rendered import Manifest

__all__ = [
    "TRUSTED",
    "PodShape",
    "container_security",
    "deployment",
    "health_probes",
    "one_at_a_time",
    "sandbox_container",
    "secret_volume",
    "surge_free_of_gaps",
]

_SECRET_FILE_MODE: Final = 0o440  # read through fsGroup, by nobody else


@dataclass(frozen=True, slots=True, kw_only=True)
class PodShape:
    """How one component's pod differs from the others."""

    guard: Manifest | None  # runs to its end before tenant code; None: our own code, which needs none
    own_image: bool  # the sandbox image: runs as our uid, else as the image says, but never as root
    hosts: Mapping[str, str] = field(default_factory=dict)  # name -> address: all that an untrusted pod knows
    volumes: tuple[Manifest, ...] = ()
    secrets: Mapping[str, SecretValue] = field(default_factory=dict)  # what it mounts: a change rolls it
    beside: Mapping[str, str] | None = None  # only on the node of such pods, if there are any

    @property
    def trusted(self) -> bool:
        """Our own code: may use cluster DNS, runs on the ordinary runtime."""
        return self.guard is None


TRUSTED: Final = PodShape(guard=None, own_image=True)


def surge_free_of_gaps() -> Manifest:
    """The new pod serves before the old one goes: for the doors; the quota keeps room for it."""
    return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def one_at_a_time() -> Manifest:
    """Old pod gone, then the new one: a full quota or a ReadWriteOnce volume can never block a roll."""
    return {"type": "Recreate"}


def container_security() -> Manifest:
    """No privilege, no capability, nothing writable but the mounts."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
    }


def deployment(  # noqa: PLR0913 - one record of what differs between components
    effective: Effective,
    *,
    name: str,
    component: str,
    replicas: int,
    strategy: Manifest,
    containers: Sequence[Manifest],
    config: str,
    pod: PodShape,
    tool: str | None = None,
) -> Manifest:
    """A Deployment whose pods roll when their config or a mounted secret changes."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(effective, name, component=component, tool=tool),
        "spec": {
            "replicas": replicas,
            "progressDeadlineSeconds": 300,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": selector(component, tool)},
            "strategy": strategy,
            "template": {
                "metadata": {
                    "labels": labels(effective, component, tool),
                    "annotations": {
                        names.CONFIG_HASH_ANNOTATION: config_hash(config, pod.secrets.items()),
                    },
                },
                "spec": {**_pod_spec(name, containers, pod), **_placed(effective.isolation, pod)},
            },
        },
    }


def sandbox_container(
    role: str,
    context: RenderContext,
    config: str,
    *,
    resources: Resources | None,
    ports: Mapping[str, int],
    mounts: Sequence[Manifest] = (),
) -> Manifest:
    """A container of the sandbox image in one of its roles, probed on the health port."""
    return {
        "name": role,
        "image": context.sandbox_image,
        "imagePullPolicy": context.image_pull_policy,
        "args": [role],
        "env": [{"name": "BULKHEAD_CONFIG", "value": config}],
        "ports": [
            # A port's name has at most 15 characters here and nothing refers to it: numbers suffice.
            {"containerPort": port, "protocol": "TCP"}
            for port in sorted({*ports.values(), names.HEALTH_PORT})
        ],
        "resources": complete(resources),
        "securityContext": container_security(),
        "volumeMounts": [*mounts, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a mount of its own
        **health_probes(),
    }


def health_probes() -> Manifest:
    """Ready within a second of being so; restarted after half a minute of silence."""
    return {
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": names.HEALTH_PORT, "scheme": "HTTP"},
            "failureThreshold": 3,
            "periodSeconds": 1,
            "successThreshold": 1,
            "timeoutSeconds": 1,
        },
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": names.HEALTH_PORT, "scheme": "HTTP"},
            "failureThreshold": 3,
            "initialDelaySeconds": 10,
            "periodSeconds": 10,
            "successThreshold": 1,
            "timeoutSeconds": 3,
        },
    }


def secret_volume(volume: str, secret: str, *keys: str) -> Manifest:
    """These keys of one Secret, each as a file of the same name."""
    return {
        "name": volume,
        "secret": {
            "secretName": secret,
            "defaultMode": _SECRET_FILE_MODE,
            "items": [{"key": key, "path": key} for key in keys],
        },
    }


def _pod_spec(account: str, containers: Sequence[Manifest], pod: PodShape) -> Manifest:
    # What is in /tmp counts against this limit anyway; more would only evict the pod by another name.
    tmp_size = containers[0]["resources"]["limits"]["ephemeral-storage"]
    spec: Manifest = {
        "automountServiceAccountToken": False,
        "containers": list(containers),
        "enableServiceLinks": False,  # else every Service's address would be in every environment
        "restartPolicy": "Always",
        "securityContext": _pod_security(own_image=pod.own_image),
        "serviceAccountName": account,
        "shareProcessNamespace": False,
        "terminationGracePeriodSeconds": 30,
        "volumes": [*pod.volumes, {"name": "tmp", "emptyDir": {"sizeLimit": tmp_size}}],
        **(_cluster_dns() if pod.trusted else _no_dns(pod.hosts)),
    }
    return spec


def _placed(isolation: Isolation, pod: PodShape) -> Manifest:
    """Where the pod runs, and for tenant code what stands between it and the node.

    Our own code stays on the ordinary runtime: it is what tells the runtimes' tenants apart.
    """
    spec: Manifest = {}
    if isolation.node_selector:
        spec["nodeSelector"] = dict(sorted(isolation.node_selector.items()))
    if pod.beside is not None:
        spec["affinity"] = _beside(pod.beside)
    if isolation.tolerations:
        spec["tolerations"] = [_toleration(each) for each in isolation.tolerations]
    if pod.guard is None:
        return spec
    spec["initContainers"] = [pod.guard]
    if isolation.level is IsolationLevel.USER_NAMESPACE:
        spec["hostUsers"] = False
    if isolation.level is IsolationLevel.SANDBOXED:
        spec["runtimeClassName"] = isolation.runtime_class
    return spec


def _beside(labels: Mapping[str, str]) -> Manifest:
    """On one node: a ReadWriteOnce volume can be used by two pods there and nowhere else.

    The first pod of a kind may go anywhere, although none is there yet (kube-scheduler, interpodaffinity).
    """
    term = {"labelSelector": {"matchLabels": dict(labels)}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _toleration(toleration: Toleration) -> Manifest:
    """Only what is said: the API server drops empty values, and adds none to a template."""
    said = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
    }
    written: Manifest = {name: str(value) for name, value in said.items() if value}
    if toleration.toleration_seconds is not None:
        written["tolerationSeconds"] = toleration.toleration_seconds
    return written


def _pod_security(*, own_image: bool) -> Manifest:
    shared: Manifest = {
        "fsGroup": names.POD_UID,  # secrets and volumes are readable whatever uid an image brings
        "fsGroupChangePolicy": "OnRootMismatch",
        "runAsNonRoot": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    if not own_image:
        return shared
    return {**shared, "runAsGroup": names.POD_UID, "runAsUser": names.POD_UID}


def _cluster_dns() -> Manifest:
    return {"dnsPolicy": "ClusterFirst"}


def _no_dns(hosts: Mapping[str, str]) -> Manifest:
    """No resolver, so no tunnel through one: names are the few that the hosts file gives."""
    spec: Manifest = {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["127.0.0.1"]}}
    if hosts:
        spec["hostAliases"] = [{"ip": ip, "hostnames": [name]} for name, ip in sorted(hosts.items())]
    return spec
