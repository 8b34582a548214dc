"""Quota and limits on real pods: bare pods fit, and what does not is refused and said."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.levels import tenant_pod

from kubelive import ApiRefusal, Live, Ref, wait_until
from kubelive.workspaces import condition, namespace_of, ready

if TYPE_CHECKING:
    from collections.abc import Callable

Manifest = dict[str, Any]
LEAD = "lead@quota.example"
ADMIN = [{"kind": "User", "name": LEAD, "role": "admin"}]
SHOWN_WITHIN_SECONDS = 2.0


@pytest.fixture(scope="module")
def lead() -> Live:
    """A person with the role admin in the workspaces of these tests, and no other right."""
    return Live(as_user=LEAD, as_groups=("system:authenticated",))


def gated(namespace: str, name: str) -> Manifest:
    """A pod that counts and never runs."""
    pod = tenant_pod(namespace, name, command=["sleep", "infinity"])
    pod["spec"]["schedulingGates"] = [{"name": "bulkhead.test/never"}]
    return pod


def quota_of(live: Live, namespace: str) -> Manifest:
    """Status of the workspace's quota."""
    status: Manifest = live.get(Ref("ResourceQuota", "workspace", namespace))["status"]
    return status


def test_a_bare_pod_runs_within_the_quota(live: Live, lead: Live, make: Callable[..., str]) -> None:
    """A quota on limits refuses pods that name none: the LimitRange must fill in all of them."""
    namespace = namespace_of(live, make("bare", access=ADMIN))
    before = quota_of(live, namespace)["used"]

    lead.create(tenant_pod(namespace, "bare", command=["sleep", "infinity"]))
    ref = Ref("Pod", "bare", namespace)
    pod = wait_until(
        "the bare pod runs",
        lambda: (found := live.get(ref))["status"].get("phase") == "Running" and found,
        timeout_seconds=60,
        describe=lambda: str(live.get(ref)["status"]),
    )

    amounts = {"cpu", "memory", "ephemeral-storage"}
    for container in (*pod["spec"]["initContainers"], *pod["spec"]["containers"]):
        assert amounts == container["resources"]["limits"].keys() == container["resources"]["requests"].keys()
    used = wait_until(
        "it is counted",
        lambda: (now := quota_of(live, namespace)["used"])["pods"] != before["pods"] and now,
        timeout_seconds=20,
    )
    assert (int(before["pods"]) + 1, True) == (int(used["pods"]), used["limits.cpu"] != before["limits.cpu"])


def _seconds_until(live: Live, name: str, reason: str) -> tuple[float, str]:
    """Seconds until ToolsReady shows that reason, and its message."""
    began = time.monotonic()

    def shown() -> str | None:
        seen = condition(live, name, "ToolsReady")
        return str(seen["message"]) if seen and seen["reason"] == reason else None

    message = wait_until(f"ToolsReady {reason}", shown, timeout_seconds=30, interval_seconds=0.02)
    return time.monotonic() - began, message


def test_a_pod_that_the_quota_refuses_is_told_from_one_without_room(
    live: Live, lead: Live, make: Callable[..., str]
) -> None:
    """One is mended by a larger quota, the other by larger nodes; somebody waits in front of a screen."""
    full = make("full", quota={"pods": 3}, access=ADMIN)
    large = make("large", quota={"cpu": "3000"})
    namespace = namespace_of(live, full)
    free = int(quota_of(live, namespace)["hard"]["pods"]) - len(live.items("Pod", namespace))
    for number in range(free):
        lead.create(gated(namespace, f"taken-{number}"))

    live.merge(Ref("TenantWorkspace", full), {"spec": {"tools": [{"name": "shell"}]}})
    refused_seconds, refused = _seconds_until(live, full, "QuotaExceeded")
    wish = {"name": "shell", "resources": {"requests": {"cpu": "2000"}, "limits": {"cpu": "2000"}}}
    live.merge(Ref("TenantWorkspace", large), {"spec": {"tools": [wish]}})
    unplaced_seconds, unplaced = _seconds_until(live, large, "Unschedulable")

    assert "exceeded quota: workspace" in refused
    assert "raise spec.quota" in refused
    assert "Insufficient cpu" in unplaced
    assert "add nodes or lower the requests" in unplaced
    assert refused_seconds < SHOWN_WITHIN_SECONDS
    assert unplaced_seconds < SHOWN_WITHIN_SECONDS
    for number in range(free):
        lead.delete(Ref("Pod", f"taken-{number}", namespace))
    ready(live, full)


def test_a_quota_beyond_the_nodes_is_remarked_and_harms_nothing(live: Live, make: Callable[..., str]) -> None:
    """A promise that the cluster cannot keep must be known before somebody builds on it."""
    name = make("beyond", quota={"cpu": "3000", "memory": "90Ti", "pods": 40})

    applied = condition(live, name, "QuotaApplied")

    assert applied is not None
    assert applied["status"] == "True"
    assert "more than all fitting nodes together have: cpu 3000 of " in applied["message"]
    assert "memory 90Ti of " in applied["message"]
    wait_until(
        "Event QuotaExceedsNodes",
        lambda: any(
            each["reason"] == "QuotaExceedsNodes" and each["regarding"]["name"] == name
            for each in live.items("Event", "default")
        ),
        timeout_seconds=20,
    )


@pytest.mark.parametrize("kind", ["LoadBalancer", "NodePort"])
def test_no_port_of_a_node_and_no_balancer_is_within_the_quota(
    live: Live, make: Callable[..., str], kind: str
) -> None:
    """Admission refuses it to everybody; the quota would still stand if the policies were gone."""
    namespace = namespace_of(live, make("ports"))

    hard = quota_of(live, namespace)["hard"]
    with pytest.raises(ApiRefusal) as refusal:
        Live.break_glass().create(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "open", "namespace": namespace},
                "spec": {"type": kind, "ports": [{"port": 80}], "selector": {"app": "x"}},
            }
        )

    assert {"services.loadbalancers": "0", "services.nodeports": "0"}.items() <= hard.items()
    assert refusal.value.status == 403


def test_kubernetes_pitfall_11_parallel_requests_do_not_overshoot(
    live: Live, lead: Live, make: Callable[..., str]
) -> None:
    """Accounting across namespaces was overshot by two fast writers; here the API server counts one."""
    namespace = namespace_of(live, make("race", access=ADMIN))
    hard = int(quota_of(live, namespace)["hard"]["configmaps"])

    def attempt(number: int) -> str:
        manifest = {"apiVersion": "v1", "kind": "ConfigMap"}
        try:
            lead.create({**manifest, "metadata": {"name": f"race-{number}", "namespace": namespace}})
        except ApiRefusal as refusal:
            return "over" if "exceeded quota: workspace" in refusal.message else str(refusal)
        return "made"

    with ThreadPoolExecutor(8) as pool:
        outcomes = Counter(pool.map(attempt, range(hard + 16)))

    before = 1  # the certificate authority's
    assert {"made": hard - before, "over": 16 + before} == outcomes
    assert hard == len(live.items("ConfigMap", namespace))
