"""Object counts: the largest workspace fits, and nothing that would be a way in or a way around does."""

from __future__ import annotations

from collections import Counter

import pytest
from support.builders import context, effective, manifest, runtime, secret, tool

from bulkhead.api.workspace import AccessRole, AccessRule, EgressRule, Quota, Storage, Subject
from bulkhead.render import render

MANY = 32  # tools, secrets and access rules: what the CRD allows
LARGEST = effective(
    runtime=runtime(storage=Storage(size="1Gi")),
    tools=tuple(
        tool(f"t{i}", egress=(EgressRule(host="a.example", ports=(443,)),), secrets=(f"s{i}",))
        for i in range(MANY)
    ),
    secrets=tuple(secret(f"s{i}") for i in range(MANY)),
    access=tuple(AccessRule(kind=Subject.USER, name="x", role=role) for role in AccessRole),
    quota=Quota(cpu="64", memory="64Gi", pods=64, storage="1Gi", ephemeral_storage="64Gi"),
)
RENDERED = render(LARGEST, context(LARGEST))
HARD: dict[str, str] = manifest(RENDERED, "ResourceQuota", "workspace")["spec"]["hard"]
MADE = Counter(each["kind"] for each in RENDERED.manifests)


@pytest.mark.parametrize(
    ("resource", "kind", "beside"),
    [
        ("count/deployments.apps", "Deployment", 0),
        ("count/networkpolicies.networking.k8s.io", "NetworkPolicy", 0),
        ("count/rolebindings.rbac.authorization.k8s.io", "RoleBinding", 0),
        ("count/serviceaccounts", "ServiceAccount", 1),  # `default`, which the controller manager makes
        ("persistentvolumeclaims", "PersistentVolumeClaim", 0),
        ("resourcequotas", "ResourceQuota", 0),
        ("secrets", "Secret", 0),
        ("services", "Service", 0),
    ],
)
def test_the_largest_spec_fits(resource: str, kind: str, beside: int) -> None:
    """A workspace that its own quota refuses would never be Ready, and only a new release could help."""
    assert int(HARD[resource]) >= MADE[kind] + beside


def test_old_replica_sets_fit_while_everything_rolls() -> None:
    """Each Deployment keeps two old ones beside the current and the next: a full count blocks the roll."""
    kept = {
        each["spec"]["revisionHistoryLimit"] for each in RENDERED.manifests if each["kind"] == "Deployment"
    }

    assert kept == {2}
    assert int(HARD["count/replicasets.apps"]) >= MADE["Deployment"] * 4


def test_every_counted_kind_of_the_promise_is_there() -> None:
    """A kind without a count is one with which a tenant can fill etcd."""
    assert {name for name in HARD if not name.startswith(("limits.", "requests.")) and name != "pods"} == {
        "configmaps",
        "count/cronjobs.batch",
        "count/daemonsets.apps",
        "count/deployments.apps",
        "count/jobs.batch",
        "count/leases.coordination.k8s.io",
        "count/networkpolicies.networking.k8s.io",
        "count/replicasets.apps",
        "count/rolebindings.rbac.authorization.k8s.io",
        "count/roles.rbac.authorization.k8s.io",
        "count/serviceaccounts",
        "count/statefulsets.apps",
        "persistentvolumeclaims",
        "replicationcontrollers",
        "resourcequotas",
        "secrets",
        "services",
        "services.loadbalancers",
        "services.nodeports",
    }


def test_no_port_of_a_node_no_balancer_and_no_pod_on_every_node() -> None:
    """Ways in that no NetworkPolicy of ours describes, and kinds that no tenant role may make."""
    assert {name for name, amount in HARD.items() if amount == "0"} == {
        "count/daemonsets.apps",
        "replicationcontrollers",
        "services.loadbalancers",
        "services.nodeports",
    }


def test_a_bare_pod_gets_every_amount_that_the_quota_asks_for() -> None:
    """The quota refuses a container without them: `kubectl run` would fail with words about quota."""
    (limits,) = manifest(RENDERED, "LimitRange", "workspace")["spec"]["limits"]

    asked = {name.removeprefix("limits.") for name in HARD if name.startswith("limits.")}
    assert limits["type"] == "Container"
    assert limits["default"].keys() == limits["defaultRequest"].keys() == asked
