"""A cluster in memory, as far as the planner can tell one from a real one.

Server-side apply with ownership, PUT with preconditions, deletion by UID with finalizers, the API server's
own defaults, and controllers that move on one step a `tick`. Whatever a real API server would refuse is an
assertion here: a plan that runs into it is wrong. Defaults come from the answers in tests/golden/live.
"""

from __future__ import annotations

import copy
import itertools
from typing import TYPE_CHECKING, Any

from support.builders import CLUSTER

from bulkhead import names
from bulkhead.plan.actions import Apply, Delete, Plan, Replace
from bulkhead.plan.observed import Observed
from bulkhead.render import ObjectKey

if TYPE_CHECKING:
    from bulkhead.plan.actions import Action

Manifest = dict[str, Any]
Where = tuple[str, str | None, str]  # kind, namespace, name

LIST_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
}
OPERATOR_NAMESPACE = "bulkhead-system"
DELETED_AT = "2026-11-01T09:00:00Z"


class Store:
    """Objects by kind, namespace and name; `writes` counts what changed anything."""

    def __init__(self) -> None:
        self.objects: dict[Where, Manifest] = {}
        self.applied: dict[Where, Manifest] = {}
        self.writes = 0
        self.log: list[Action] = []
        self._numbers = itertools.count(1)

    def execute(self, plan: Plan) -> None:
        """Every wave in order."""
        for action in itertools.chain.from_iterable(plan.waves):
            self.log.append(action)
            if isinstance(action, Apply):
                self.apply(action.manifest)
            elif isinstance(action, Replace):
                self.replace(action.manifest)
            else:
                self.delete(action)

    def apply(self, manifest: Manifest) -> None:
        """Forced server-side apply by one manager: what it no longer mentions goes, the rest stays."""
        where = _where(manifest)
        if where[1] is not None and where[1] != OPERATOR_NAMESPACE:
            space = self.objects.get(("Namespace", None, where[1]))
            assert space is not None, f"{where}: no such namespace"
            assert "deletionTimestamp" not in space["metadata"], f"{where}: the namespace is terminating"
        live = self.objects.get(where)
        before = self.applied.get(where, {})
        merged = _merge(live or {}, manifest, before)
        if live is None:
            merged["metadata"] |= {"uid": f"uid-{next(self._numbers)}"}
        else:
            _refuse_immutable(live, merged)
        self.applied[where] = copy.deepcopy(manifest)
        self._store(where, merged)

    def replace(self, manifest: Manifest) -> None:
        """PUT: the whole object, only over the very version that was read."""
        where = _where(manifest)
        live = self.objects[where]
        for precondition in ("uid", "resourceVersion"):
            assert manifest["metadata"][precondition] == live["metadata"][precondition]
        replaced = copy.deepcopy(manifest)
        if "status" in live:
            replaced["status"] = live["status"]
        _refuse_immutable(live, replaced)
        self._store(where, replaced)

    def delete(self, action: Delete) -> None:
        """With a UID precondition; what the object owns goes on the next tick."""
        where = (action.kind, action.namespace, action.name)
        live = self.objects.get(where)
        if live is None:
            return
        assert live["metadata"]["uid"] == action.uid, f"{where}: a deletion must name the live UID"
        self.writes += 1
        if action.kind in {"Namespace", "Pod"} or live["metadata"].get("finalizers"):
            live["metadata"]["deletionTimestamp"] = DELETED_AT
        else:
            del self.objects[where]
            self.applied.pop(where, None)

    def edit(self, kind: str, namespace: str | None, name: str) -> Manifest:
        """The live object, for somebody else's hands."""
        live = self.objects[kind, namespace, name]
        live["metadata"]["resourceVersion"] = str(next(self._numbers))
        return live

    def create(self, manifest: Manifest) -> None:
        """Something that somebody else makes."""
        made = copy.deepcopy(manifest)
        made["metadata"].setdefault("uid", f"uid-{next(self._numbers)}")
        self._store(_where(made), made)

    def tick(self) -> None:
        """Controllers and kubelets do one step: pods end or start, usage is counted, namespaces empty."""
        for where, live in list(self.objects.items()):
            if "deletionTimestamp" in live["metadata"] and not live["metadata"].get("finalizers"):
                if where[0] != "Namespace" or not self._inside(where[2]):
                    del self.objects[where]
                else:
                    for inner in self._inside(where[2]):
                        self.objects[inner]["metadata"]["deletionTimestamp"] = DELETED_AT
            elif where[0] == "Deployment":
                self._run(live)
            elif where[0] == "ResourceQuota":
                live["status"] = {"hard": copy.deepcopy(live["spec"]["hard"])}
        deployments = {where[1:] for where in self.objects if where[0] == "Deployment"}
        for where, live in self.objects.items():
            made_by = live["metadata"].get("deployment")
            if made_by is not None and (where[1], made_by) not in deployments:
                live["metadata"].setdefault("deletionTimestamp", DELETED_AT)

    def observed(self, namespace: str, uid: str, **fields: Any) -> Observed:
        """What a gatherer would read."""
        inside = {where: copy.deepcopy(self.objects[where]) for where in self._inside(namespace)}
        live = self.objects.get(("Namespace", None, namespace))
        key = self.objects.get(("Secret", OPERATOR_NAMESPACE, names.signing_key(uid)))
        return Observed(
            **{
                "namespace": copy.deepcopy(live),
                "cluster": CLUSTER,
                "objects": {ObjectKey(w[0], w[2]): o for w, o in inside.items() if w[0] != "Pod"},
                "pods": tuple(o for w, o in inside.items() if w[0] == "Pod"),
                "signing_key_uid": None if key is None else key["metadata"]["uid"],
                **fields,
            }
        )

    def _inside(self, namespace: str) -> list[Where]:
        return sorted((where for where in self.objects if where[1] == namespace), key=str)

    def _store(self, where: Where, new: Manifest) -> None:
        _default(new, next(self._numbers))
        old = self.objects.get(where)
        if old is not None and _without_version(old) == _without_version(new):
            return
        self.writes += 1
        if old is not None and old.get("spec") != new.get("spec"):
            new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        new["metadata"].setdefault("generation", 1)
        new["metadata"]["resourceVersion"] = str(next(self._numbers))
        self.objects[where] = new

    def _run(self, deployment: Manifest) -> None:
        metadata, spec = deployment["metadata"], deployment["spec"]
        replicas = spec["replicas"]
        counts = {"replicas": replicas, "updatedReplicas": replicas, "availableReplicas": replicas}
        deployment["status"] = {"observedGeneration": metadata["generation"], **counts}
        for index in range(20):
            where = ("Pod", metadata["namespace"], f"{metadata['name']}-{index}")
            if index < replicas and where not in self.objects:
                pod: Manifest = {"kind": "Pod", "metadata": {"name": where[2], "namespace": where[1]}}
                owner = {
                    "apiVersion": "apps/v1",
                    "kind": "ReplicaSet",
                    "name": "rs",
                    "uid": "rs",
                    "controller": True,
                }
                pod["metadata"] |= {
                    "uid": f"uid-{next(self._numbers)}",
                    "deployment": metadata["name"],
                    "labels": dict(spec["template"]["metadata"]["labels"]),
                    "ownerReferences": [owner],
                }
                self.objects[where] = pod
            elif index >= replicas and where in self.objects:
                del self.objects[where]


def _where(manifest: Manifest) -> Where:
    return manifest["kind"], manifest["metadata"].get("namespace"), manifest["metadata"]["name"]


def _without_version(manifest: Manifest) -> Manifest:
    metadata = {k: v for k, v in manifest["metadata"].items() if k not in {"resourceVersion", "generation"}}
    return {**manifest, "metadata": metadata}


def _merge(live: Manifest, ours: Manifest, before: Manifest) -> Manifest:
    """Fields of `ours` win, fields only in `before` go, the rest of `live` stays."""
    merged = {key: copy.deepcopy(value) for key, value in live.items() if key in ours or key not in before}
    for key, value in ours.items():
        there, was = live.get(key), before.get(key)
        if isinstance(value, dict) and isinstance(there, dict):
            merged[key] = _merge(there, value, was if isinstance(was, dict) else {})
        elif isinstance(value, list) and isinstance(there, list) and key in LIST_KEYS:
            merged[key] = _merge_list(there, value, was or [], LIST_KEYS[key])
        else:
            merged[key] = copy.deepcopy(value)
    return merged


def _merge_list(
    live: list[Manifest], ours: list[Manifest], before: list[Manifest], key: str
) -> list[Manifest]:
    there = {item[key]: item for item in live}
    was = {item[key]: item for item in before}
    mine = [_merge(there.get(item[key], {}), item, was.get(item[key], {})) for item in ours]
    wanted = {item[key] for item in ours}
    return mine + [copy.deepcopy(item) for item in live if item[key] not in wanted | was.keys()]


def _refuse_immutable(live: Manifest, new: Manifest) -> None:
    match live["kind"]:
        case "Deployment":
            assert live["spec"]["selector"] == new["spec"]["selector"]
        case "RoleBinding":
            assert live["roleRef"] == new["roleRef"]
        case "Service":
            assert live["spec"]["clusterIP"] == new["spec"].get("clusterIP")
        case "Secret":
            assert live.get("type", "Opaque") == new["type"]
            assert not live.get("immutable") or live["data"] == new["data"]


def _default(manifest: Manifest, number: int) -> None:
    """What a real API server answers beside what it was given."""
    match manifest["kind"]:
        case "Namespace":
            manifest.setdefault("spec", {"finalizers": ["kubernetes"]})
            manifest["metadata"]["labels"]["kubernetes.io/metadata.name"] = manifest["metadata"]["name"]
        case "Service":
            spec = manifest["spec"]
            spec.setdefault("clusterIP", f"198.19.128.{number % 250 + 1}")
            spec.setdefault("clusterIPs", [spec["clusterIP"]])
            spec.setdefault("internalTrafficPolicy", "Cluster")
            spec.setdefault("ipFamilies", ["IPv4"])
            spec.setdefault("ipFamilyPolicy", "SingleStack")
            spec.setdefault("sessionAffinity", "None")
        case "PersistentVolumeClaim":
            manifest["spec"].setdefault("volumeMode", "Filesystem")
            manifest["spec"].setdefault("storageClassName", "standard")
        case "Deployment":
            pod = manifest["spec"]["template"]["spec"]
            pod.setdefault("schedulerName", "default-scheduler")
            pod["serviceAccount"] = pod["serviceAccountName"]
            for container in (*pod.get("initContainers", ()), *pod["containers"]):
                container.setdefault("terminationMessagePath", "/dev/termination-log")
                container.setdefault("terminationMessagePolicy", "File")
