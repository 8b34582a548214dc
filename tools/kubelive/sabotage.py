"""Ways to break a workspace by hand, each with the check that tells when it is whole again.

The fences refuse every one of them, to administrators too. What is broken here is broken as break-glass.
"""

from __future__ import annotations

import functools
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kubelive.live import ApiRefusal, Live, Ref
from kubelive.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SABOTAGES", "Sabotage", "refusing_policy", "repair_seconds"]

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sabotage:
    """`strike` breaks something in a namespace and returns a probe: is it repaired?"""

    title: str
    strike: Callable[[Live, str], Callable[[], bool]]


def _restored(live: Live, ref: Ref) -> Callable[[], bool]:
    """Whether the object's content is what it was when this was called."""
    content = ("spec", "rules", "subjects", "roleRef")
    before = live.get(ref)

    def probe() -> bool:
        now = live.find(ref)
        return now is not None and all(now.get(key) == before.get(key) for key in content)

    return probe


def _delete_policy(live: Live, namespace: str) -> Callable[[], bool]:
    ref = Ref("NetworkPolicy", "default-deny", namespace)
    probe = _restored(live, ref)
    live.delete(ref, missing_ok=False)
    return probe


def _open_policy(live: Live, namespace: str) -> Callable[[], bool]:
    ref = Ref("NetworkPolicy", "default-deny", namespace)
    probe = _restored(live, ref)
    live.merge(ref, {"spec": {"ingress": [{}]}})
    return probe


def _foreign_policy(live: Live, namespace: str) -> Callable[[], bool]:
    ref = Ref("NetworkPolicy", "open-sesame", namespace)
    live.create(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": ref.name, "namespace": namespace},
            "spec": {
                "podSelector": {},
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{}],
                "egress": [{}],
            },
        }
    )
    return lambda: live.find(ref) is None


def _raise_quota(live: Live, namespace: str) -> Callable[[], bool]:
    ref = Ref("ResourceQuota", "workspace", namespace)
    probe = _restored(live, ref)
    live.merge(ref, {"spec": {"hard": {"pods": "1000"}}})
    return probe


def _let_in_a_stranger(live: Live, namespace: str) -> Callable[[], bool]:
    ref = Ref("RoleBinding", "tenant-view", namespace)
    probe = _restored(live, ref)
    stranger = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}
    live.patch(ref, [{"op": "add", "path": "/subjects/-", "value": stranger}])
    return probe


def _delete_deployment(live: Live, namespace: str) -> Callable[[], bool]:
    ref = Ref("Deployment", "gateway", namespace)
    old_uid = live.get(ref)["metadata"]["uid"]
    live.delete(ref, missing_ok=False)

    def probe() -> bool:
        now = live.find(ref)
        return now is not None and now["metadata"]["uid"] != old_uid

    return probe


def _second_container(live: Live, namespace: str) -> Callable[[], bool]:
    """As hard as the first one: anything less is refused to break-glass, too."""
    ref = Ref("Deployment", "gateway", namespace)
    gateway = live.get(ref)["spec"]["template"]["spec"]["containers"][0]
    listener = {key: gateway[key] for key in ("image", "imagePullPolicy", "securityContext", "resources")}
    place = "/spec/template/spec/containers/-"
    live.patch(ref, [{"op": "add", "path": place, "value": {"name": "listener", **listener}}])
    return lambda: len(live.get(ref)["spec"]["template"]["spec"]["containers"]) == 1


def _relax_pod_security(live: Live, namespace: str) -> Callable[[], bool]:
    label = "pod-security.kubernetes.io/enforce"
    ref = Ref("Namespace", namespace)
    live.merge(ref, {"metadata": {"labels": {label: "privileged"}}})
    return lambda: live.get(ref)["metadata"]["labels"].get(label) == "restricted"


SABOTAGES = (
    Sabotage("NetworkPolicy default-deny deleted", _delete_policy),
    Sabotage("allow-all ingress rule added to default-deny", _open_policy),
    Sabotage("a second, allow-all NetworkPolicy created", _foreign_policy),
    Sabotage("quota raised to 1000 pods", _raise_quota),
    Sabotage("a stranger added to RoleBinding tenant-view", _let_in_a_stranger),
    Sabotage("Deployment gateway deleted", _delete_deployment),
    Sabotage("second container slipped into the gateway's pods", _second_container),
    Sabotage("namespace's Pod Security label set to privileged", _relax_pod_security),
)


def refusing_policy(live: Live, namespace: str, sabotage: Sabotage) -> str:
    """The admission policy that refuses it to `live`; AssertionError if none does."""
    try:
        sabotage.strike(live, namespace)
    except ApiRefusal as refusal:
        policy = re.search(r"ValidatingAdmissionPolicy '([^']+)'", refusal.message)
        if policy is None:
            raise
        return policy[1]
    raise AssertionError(f"{sabotage.title}: nothing refused it")


@functools.cache
def _break_glass(kubeconfig: str | None) -> Live:
    """One connection for all: what is measured must not begin with a handshake."""
    return Live.break_glass(kubeconfig)


def repair_seconds(live: Live, namespace: str, sabotage: Sabotage, *, timeout_seconds: float = 30) -> float:
    """Break it as break-glass; the seconds from the API server's answer until it was whole again."""
    probe = sabotage.strike(_break_glass(live.kubeconfig), namespace)
    struck = time.monotonic()
    wait_until(
        f"repair of: {sabotage.title}",
        lambda: probe() or None,
        timeout_seconds=timeout_seconds,
        interval_seconds=0.002,
    )
    return time.monotonic() - struck
