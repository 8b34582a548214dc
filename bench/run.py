"""`make bench`: first figures of the control plane, on the cluster of `make cluster-up`."""

from __future__ import annotations

import json
import re
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from figures import Figure, median, percentile, write
from guard import guard_cost

from kubelive import Live, Ref, kubectl, wait_until
from kubelive.install import OPERATOR_NAMESPACE, install
from kubelive.sabotage import SABOTAGES, repair_seconds
from kubelive.workspaces import gone, namespace_of, ready, workspace

READY_ROUNDS = 5
REPAIRS = 100
EXPIRIES = 50
TENANT: dict[str, Any] = {
    "lifecycle": {"ttl": "2h"},
    "tools": [{"name": "shell"}],
    "access": [{"kind": "Group", "name": "developers", "role": "view"}],
}
# What the API server fills in, and what names the workspace that the copy is taken from.
_SERVER_FIELDS = (
    "uid",
    "resourceVersion",
    "creationTimestamp",
    "generation",
    "managedFields",
    "ownerReferences",
)
_COPIED = (
    "ServiceAccount", "ResourceQuota", "LimitRange", "Role", "RoleBinding", "NetworkPolicy", "Secret",
    "Service", "Deployment",
)  # fmt: skip


def bare_copy(live: Live, source: str, target: str) -> str:
    """A workspace's manifests under another namespace, as somebody without an operator would apply them."""
    copies: list[dict[str, Any]] = []
    addresses: dict[str, str] = {}
    space = live.get(Ref("Namespace", source))
    space["metadata"]["name"] = target
    space["metadata"]["labels"] = _not_of_a_workspace(space["metadata"]["labels"])
    space["metadata"].pop("annotations", None)
    for manifest in [space, *(each for kind in _COPIED for each in _typed(live, kind, source))]:
        meta = {key: value for key, value in manifest["metadata"].items() if key not in _SERVER_FIELDS}
        # Another manager's label: the operator must not take the copy for its own.
        meta["labels"] = {
            key: value
            for key, value in meta.get("labels", {}).items()
            if key != "app.kubernetes.io/managed-by"
        }
        if "namespace" in meta:
            meta["namespace"] = target
        spec = manifest.get("spec")
        if manifest["kind"] == "Service" and isinstance(spec, dict):
            # Guards and hosts files name the addresses, so they must be known before.
            addresses[spec["clusterIP"]] = spec["clusterIP"] = _free_address(live)
            spec.pop("clusterIPs")
        if manifest["kind"] == "Namespace":
            manifest.pop("spec", None)
        manifest.pop("status", None)
        copies.append(manifest | {"metadata": meta})
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": copies})
    for old, new in addresses.items():
        text = re.sub(rf"(?<![\d.]){re.escape(old)}(?![\d.])", new, text)
    return text


def _not_of_a_workspace(labels: dict[str, str]) -> dict[str, str]:
    """Nobody but the operator may put these on a namespace."""
    return {key: value for key, value in labels.items() if not key.startswith("bulkhead.dev/")}


def _free_address(live: Live) -> str:
    """A ClusterIP that nobody has: taken and given back."""
    ref = Ref("Service", "bench-address", "default")
    manifest = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": ref.name, "namespace": ref.namespace},
        "spec": {"ports": [{"port": 1}]},
    }
    address = str(live.create(manifest)["spec"]["clusterIP"])
    live.delete(ref)
    return address


def _typed(live: Live, kind: str, namespace: str) -> list[dict[str, Any]]:
    found = live.items(kind, namespace, selector="app.kubernetes.io/managed-by=bulkhead")
    versions = {"Role": "rbac.authorization.k8s.io/v1", "RoleBinding": "rbac.authorization.k8s.io/v1"}
    versions |= {"NetworkPolicy": "networking.k8s.io/v1", "Deployment": "apps/v1"}
    return [each | {"kind": kind, "apiVersion": versions.get(kind, "v1")} for each in found]


def _pods_ready(live: Live, namespace: str, count: int) -> bool:
    pods = live.items("Pod", namespace)
    return len(pods) == count and all(
        any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))
        for pod in pods
    )


def _one_round(live: Live, name: str, copy: str) -> tuple[float, float]:
    """Seconds to Ready of a workspace, and of a bare copy of it; both are gone afterwards."""
    manifest = json.dumps(workspace(name, **TENANT))
    began = time.monotonic()
    kubectl("apply", "-f", "-", stdin=manifest)
    ready(live, name)
    took_ours = time.monotonic() - began

    namespace = namespace_of(live, name)
    pods = len(live.items("Pod", namespace))
    text = bare_copy(live, namespace, copy)
    began = time.monotonic()
    kubectl("apply", "-f", "-", stdin=text)
    wait_until("bare pods Ready", lambda: _pods_ready(live, copy, pods), interval_seconds=0.05)
    took_bare = time.monotonic() - began

    live.delete(Ref("TenantWorkspace", name))
    live.delete(Ref("Namespace", copy))
    gone(live, name, namespace)
    wait_until("bare copy gone", lambda: live.find(Ref("Namespace", copy)) is None, timeout_seconds=60)
    return took_ours, took_bare


def apply_to_ready(live: Live) -> None:
    """One workspace, apply to Ready, against kubectl apply of the same manifests until its pods are Ready."""
    ours, bare = [], []
    for number in range(READY_ROUNDS + 1):  # the first round warms caches and is not counted
        took_ours, took_bare = _one_round(live, f"bench-{number}", f"bench-bare-{number}")
        if number:
            ours.append(took_ours)
            bare.append(took_bare)
    ratios = [a / b for a, b in zip(ours, bare, strict=True)]
    write(Figure("apply_to_ready", median(ours), "s", len(ours)))
    write(
        Figure(
            "apply_to_ready_ratio", median(ratios), "x", len(ratios), "kubectl apply of the same manifests"
        )
    )


def repairs(live: Live) -> None:
    """A policy deleted, and one edited: from the API server's answer until it is whole again."""
    live.apply(workspace("bench-repair", **TENANT))
    ready(live, "bench-repair")
    namespace = namespace_of(live, "bench-repair")
    for label, sabotage in (("policy_deleted", SABOTAGES[0]), ("policy_edited", SABOTAGES[1])):
        took = [repair_seconds(live, namespace, sabotage) * 1000 for _ in range(REPAIRS)]
        write(Figure(f"repair_{label}_p50", percentile(took, 50), "ms", REPAIRS))
        write(Figure(f"repair_{label}_p99", percentile(took, 99), "ms", REPAIRS))
    live.delete(Ref("TenantWorkspace", "bench-repair"))
    gone(live, "bench-repair", namespace)


def _operator_rss_mib() -> list[float]:
    selector = "app.kubernetes.io/name=bulkhead,app.kubernetes.io/component=operator"
    pods = kubectl("get", "pods", "-n", OPERATOR_NAMESPACE, "-l", selector, "-o", "name").stdout.split()
    read = "import re; print(re.search(r'VmRSS:\\s+(\\d+)', open('/proc/1/status').read())[1])"
    return [
        int(kubectl("exec", "-n", OPERATOR_NAMESPACE, pod, "--", "python3", "-c", read).stdout) / 1024
        for pod in pods
    ]


def expiries_and_memory(live: Live) -> None:
    """Many suspended workspaces (control-plane objects only): memory with them, and the lag of their ends."""
    write(Figure("operator_rss_idle", max(_operator_rss_mib()), "MiB", 1))
    names = [f"bench-ttl-{number}" for number in range(EXPIRIES)]
    began = time.monotonic()
    for name in names:
        live.apply(workspace(name, lifecycle={"suspended": True, "ttl": "1h"}))
    for name in names:
        wait_until(f"{name} provisioned", partial(_settled, live, name), timeout_seconds=300)
    write(Figure("suspended_workspaces_provisioned", time.monotonic() - began, "s", EXPIRIES))
    write(Figure(f"operator_rss_{EXPIRIES}_workspaces", max(_operator_rss_mib()), "MiB", 1))

    due = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=20)
    stamp = due.isoformat().replace("+00:00", "Z")
    since = live.call("GET", "/apis/bulkhead.dev/v1alpha1/tenantworkspaces?limit=1")["metadata"][
        "resourceVersion"
    ]
    for name in names:
        live.merge(Ref("TenantWorkspace", name), {"spec": {"lifecycle": {"expiresAt": stamp}}})
    lags = _lags(live, since, due, set(names))
    write(Figure("ttl_lag_p50", percentile(lags, 50), "s", len(lags)))
    write(Figure("ttl_lag_p99", percentile(lags, 99), "s", len(lags)))
    for name in names:
        wait_until(f"{name} gone", partial(_absent, live, name), timeout_seconds=300)


def _absent(live: Live, name: str) -> bool:
    return live.find(Ref("TenantWorkspace", name)) is None


def _settled(live: Live, name: str) -> bool:
    conditions = live.get(Ref("TenantWorkspace", name)).get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["reason"] == "Suspended" for c in conditions)


def _lags(live: Live, since: str, due: datetime, names: set[str]) -> list[float]:
    """Seconds after the due moment at which each deletion was seen by a watch."""
    seen: dict[str, float] = {}
    for event in live.watch("TenantWorkspace", None, since=since, timeout_seconds=90):
        meta = event["object"]["metadata"]
        if meta["name"] in names and "deletionTimestamp" in meta and meta["name"] not in seen:
            seen[meta["name"]] = (datetime.now(UTC) - due).total_seconds()
            if len(seen) == len(names):
                break
    if missing := names - set(seen):
        raise RuntimeError(f"not expired within 90 s: {sorted(missing)}")
    return list(seen.values())


def main() -> None:
    """Every figure, one JSON line each."""
    install()
    live = Live()
    apply_to_ready(live)
    guard_cost(live)
    repairs(live)
    expiries_and_memory(live)


if __name__ == "__main__":
    main()
