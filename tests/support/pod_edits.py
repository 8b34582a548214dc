"""One compliant pod, and ways to change a single thing of it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Final

__all__ = [
    "CONTROL",
    "HARD",
    "HARMLESS_VOLUMES",
    "IMAGE",
    "PASSES_POD_SECURITY",
    "VOLUMES",
    "Edit",
    "Spec",
    "all_as",
    "app",
    "compliant",
    "hard",
    "init",
    "one",
    "one_as",
    "pod",
    "privileged",
    "projected",
    "tolerates",
    "volume",
]

Spec = dict[str, Any]
Edit = Callable[[Spec], object]
IMAGE: Final = "registry.example/agents/one:1"
HARD: Final = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
CONTROL: Final[Spec] = {
    "automountServiceAccountToken": False,
    "containers": [{"name": "app", "image": IMAGE, "securityContext": HARD}],
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
}


def compliant() -> Spec:
    """A pod's spec that says what it must and nothing else."""
    return copy.deepcopy(CONTROL)


def app(spec: Spec) -> Spec:
    container: Spec = spec["containers"][0]
    return container


def hard(spec: Spec) -> Spec:
    context: Spec = app(spec)["securityContext"]
    return context


def pod(**fields: object) -> Edit:
    """The pod with these fields."""
    return lambda spec: spec.update(fields)


def one(**fields: object) -> Edit:
    """Its container with these fields."""
    return lambda spec: app(spec).update(fields)


def all_as(**fields: object) -> Edit:
    """The pod's security context with these fields."""
    return lambda spec: spec["securityContext"].update(fields)


def one_as(**fields: object) -> Edit:
    """The container's security context with these fields."""
    return lambda spec: hard(spec).update(fields)


def volume(source: Spec) -> Edit:
    return pod(volumes=[{"name": "v", **source}])


def projected(source: Spec) -> Edit:
    return volume({"projected": {"sources": [source]}})


def tolerates(**toleration: object) -> Edit:
    return pod(tolerations=[toleration])


def init(**fields: object) -> Edit:
    return pod(initContainers=[{"name": "first", "image": IMAGE, "securityContext": HARD, **fields}])


def privileged(spec: Spec) -> None:
    """The API server itself refuses it beside `allowPrivilegeEscalation: false`."""
    hard(spec).update(privileged=True)
    del hard(spec)["allowPrivilegeEscalation"]


# Every source of a volume that the policy does not know as harmless, with the least that makes it valid.
VOLUMES: Final[dict[str, Spec]] = {
    "awsElasticBlockStore": {"volumeID": "v"},
    "azureDisk": {"diskName": "d", "diskURI": "https://a.blob.core.windows.net/c/d.vhd"},
    "azureFile": {"secretName": "s", "shareName": "n"},
    "cephfs": {"monitors": ["m"]},
    "cinder": {"volumeID": "v"},
    "csi": {"driver": "d.example"},
    "fc": {"targetWWNs": ["w"], "lun": 0},
    "flexVolume": {"driver": "a/b"},
    "flocker": {"datasetName": "d"},
    "gcePersistentDisk": {"pdName": "p"},
    "gitRepo": {"repository": "r"},
    "glusterfs": {"endpoints": "e", "path": "p"},
    "hostPath": {"path": "/"},
    "image": {"reference": "evil.example/x:1"},
    "iscsi": {"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:s", "lun": 0},
    "nfs": {"server": "s", "path": "/"},
    "photonPersistentDisk": {"pdID": "p"},
    "portworxVolume": {"volumeID": "v"},
    "quobyte": {"registry": "r:1", "volume": "v"},
    "rbd": {"monitors": ["m"], "image": "i"},
    "scaleIO": {"gateway": "g", "system": "s", "volumeName": "v", "secretRef": {"name": "x"}},
    "storageos": {"volumeName": "v"},
    "vsphereVolume": {"volumePath": "p"},
}
PASSES_POD_SECURITY: Final = {"csi", "image"}
HARMLESS_VOLUMES: Final[dict[str, Spec]] = {
    "configMap": {"name": "c"},
    "downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]},
    "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"},
    "ephemeral": {
        "volumeClaimTemplate": {
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        }
    },
    "persistentVolumeClaim": {"claimName": "p"},
    "projected": {"sources": [{"configMap": {"name": "c"}}, {"secret": {"name": "their-own"}}]},
    "secret": {"secretName": "their-own"},
}
