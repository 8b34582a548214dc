"""What the guard costs: a pod with it in a workspace, and the same without it in a copy of the network."""

from __future__ import annotations

import json
import time
from typing import Any, Final

from figures import Figure, median, write

from kubelive import ApiRefusal, Live, Ref, kubectl, wait_until
from kubelive.install import image_references
from kubelive.workspaces import gone, namespace_of, ready, workspace

__all__ = ["guard_cost"]

Manifest = dict[str, Any]
PAIRS: Final = 12
ADMIN: Final = "bench-admin"
ISOLATION: Final[dict[str, Manifest]] = {
    "Baseline": {"level": "Baseline"},
    "Sandboxed": {"level": "Sandboxed", "runtimeClassName": "gvisor"},
}
_POLICIES: Final = ("default-deny", "guard")  # what holds for a pod that a tenant makes
_SAY_WHEN: Final = "import signal, time; print(time.time(), flush=True); signal.pause()"


def guard_cost(live: Live) -> None:
    """From the API server's answer to the tenant's first line, in pairs, for each level."""
    for level in ISOLATION:
        name, bare = f"bench-guard-{level.lower()}", f"bench-unguarded-{level.lower()}"
        _prepare(live, name, bare, level)
        namespace = namespace_of(live, name)
        rounds = [_pair(live, namespace, bare, number) for number in range(PAIRS + 1)]
        _report(level, rounds[1:])  # the first one warms caches
        live.delete(Ref("TenantWorkspace", name))
        live.delete(Ref("Namespace", bare))
        gone(live, name, namespace)
        live.delete(Ref("WorkspaceClass", name))


def _report(level: str, rounds: list[tuple[float, float, float]]) -> None:
    suffix = level.lower()
    guarded, unguarded, proof = (list(column) for column in zip(*rounds, strict=True))
    costs = [(one - other) * 1000 for one, other in zip(guarded, unguarded, strict=True)]
    ratios = [one / other for one, other in zip(guarded, unguarded, strict=True)]
    n = len(rounds)
    write(Figure(f"pod_start_unguarded_{suffix}", median(unguarded), "s", n))
    write(Figure(f"pod_start_guarded_{suffix}", median(guarded), "s", n))
    write(Figure(f"guard_cost_{suffix}", median(costs), "ms", n))
    write(Figure(f"guard_proof_{suffix}", median(proof), "ms", n))
    write(Figure(f"guard_cost_ratio_{suffix}", median(ratios), "x", n, "the same pod without its guard"))


def _prepare(live: Live, name: str, bare: str, level: str) -> None:
    """A Ready workspace whose admin may make pods, and a namespace with the policies of such a pod."""
    live.apply(
        {
            "apiVersion": "bulkhead.dev/v1alpha1",
            "kind": "WorkspaceClass",
            "metadata": {"name": name},
            "spec": {"isolation": ISOLATION[level]},
        }
    )
    access = [{"kind": "User", "name": ADMIN, "role": "admin"}]
    live.apply(workspace(name, className=name, access=access, lifecycle={"ttl": "1h"}))
    ready(live, name)
    live.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": bare}})
    for policy in _POLICIES:
        spec = live.get(Ref("NetworkPolicy", policy, namespace_of(live, name)))["spec"]
        live.apply(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": policy, "namespace": bare},
                "spec": spec,
            }
        )
    wait_until("the admin's rights", lambda: _may_make_pods(live, namespace_of(live, name)))


def _may_make_pods(live: Live, namespace: str) -> bool:
    try:
        Live(live.kubeconfig, as_user=ADMIN).create(_pod(namespace, "probe"), dry_run=True)
    except ApiRefusal as refusal:
        if refusal.status != 403:
            raise
        return False
    return True


def _pair(live: Live, namespace: str, bare: str, number: int) -> tuple[float, float, float]:
    """Seconds to the first line with the guard and without it, and the milliseconds of the guard's proof."""
    admin = Live(live.kubeconfig, as_user=ADMIN)
    name = f"pod-{number}"
    made, began = _started(admin, _pod(namespace, name))
    guarded = _first_line(live, made) - began
    said = kubectl("logs", "-n", namespace, name, "-c", "guard").stdout.splitlines()
    live.delete(Ref("Pod", name, namespace))

    copy = {
        **{key: value for key, value in made.items() if key != "status"},
        "metadata": {"name": name, "namespace": bare, "labels": made["metadata"]["labels"]},
        "spec": {key: value for key, value in made["spec"].items() if key != "initContainers"},
    }
    twin, began = _started(live, copy)
    unguarded = _first_line(live, twin) - began
    live.delete(Ref("Pod", name, bare))
    return guarded, unguarded, float(json.loads(said[-1])["waited_ms"])


def _started(live: Live, manifest: Manifest) -> tuple[Manifest, float]:
    """The pod as the API server took it, and when it answered."""
    made = live.create(manifest)
    return made, time.time()


def _first_line(live: Live, pod: Manifest) -> float:
    """When its code began, by the clock of its node: with kind, this machine's."""
    ref = Ref("Pod", pod["metadata"]["name"], pod["metadata"]["namespace"])

    def probe() -> str | None:
        if live.get(ref)["status"].get("phase") != "Running":
            return None
        said = kubectl("logs", "-n", str(ref.namespace), ref.name, "-c", "main", check=False).stdout
        return said.strip() or None

    return float(wait_until(f"first line of {ref.namespace}/{ref.name}", probe, interval_seconds=0.25))


def _pod(namespace: str, name: str) -> Manifest:
    """As a tenant writes it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "bench"}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "main",
                    "image": image_references()["sandbox"],
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["python3", "-c", _SAY_WHEN],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": True,
                    },
                }
            ],
        },
    }
