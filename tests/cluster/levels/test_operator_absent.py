"""No operator runs during any test of this file: tenants go on, and every fence stands.

The operator makes and repairs; it stands in the way of no packet and no request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.arrows import SILENT, Stranger, expected_from, outside, sent_by
from support.levels import LEVELS, SOURCES, Tenant, pod_ready, serving, tenant_pod
from support.packets import ARRIVED, OPEN, Place, probe

from kubelive import ApiRefusal, Live, Ref, kubectl, wait_until
from kubelive.workspaces import pod_of, tool_call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.packets import Target
    from tests.cluster.conftest import Operator

    from kubelive.backend import Backend


@pytest.fixture(scope="module", autouse=True)
def absent(operator: Operator, tenants: dict[str, Tenant], stranger: Stranger) -> Iterator[None]:
    """Everything is there, and then no operator is."""
    operator.stop()
    try:
        yield
    finally:
        operator.start()


@pytest.fixture(scope="module")
def around(live: Live, stranger: Stranger) -> dict[str, Target]:
    """Everything that is no workspace's."""
    return outside(live, stranger)


@pytest.fixture(scope="module")
def seen(
    live: Live, tenants: dict[str, Tenant], around: dict[str, Target]
) -> dict[tuple[str, str], dict[str, str]]:
    """What becomes of every packet."""
    return sent_by(tenants, around, live)


def test_no_operator_runs(operator: Operator, tenants: dict[str, Tenant]) -> None:
    """Without this the rest of the file shows nothing."""
    assert [] == operator.pods()
    assert set(LEVELS) == set(tenants)


def test_a_tool_answers_through_the_gateway(live: Live, backend: Backend, tenant: Tenant) -> None:
    """What users came for."""
    answer = tool_call(live, backend, tenant.name, "plain", "python_exec", code="print(6 * 7)")

    assert 200 == answer.status, answer.body
    assert "42" in answer.body


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_packets_pass_and_no_others(
    tenant: Tenant, source: str, seen: dict[tuple[str, str], dict[str, str]]
) -> None:
    """Policies are Kubernetes' own objects: nobody has to stand behind them."""
    found = seen[tenant.level, source]

    assert expected_from(tenant.level, source, found) == found


def test_the_same_pod_reaches_everything_once_its_fence_is_open(
    tenant: Tenant, around: dict[str, Target]
) -> None:
    """The twin: a probe in that pod of that level sees a hole, so what it calls silent is fenced.

    Nobody but break-glass may open it, and nobody closes it while the operator is away.
    """
    glass, place = Live.break_glass(), tenant.place("caller")
    hole = Ref("NetworkPolicy", "hole", tenant.namespace)
    spec: dict[str, Any] = {"podSelector": {"matchLabels": {"app": "caller"}}, "egress": [{}]}
    glass.create(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": hole.name, "namespace": hole.namespace},
            "spec": {**spec, "policyTypes": ["Egress"]},
        }
    )
    one = {"cloud metadata": around["cloud metadata"]}
    try:
        wait_until("the hole is open", lambda: probe(place, one) == dict.fromkeys(one, OPEN))
        found = probe(place, around, wanted=around)
    finally:
        glass.delete(hole)
    wait_until("the hole is closed", lambda: probe(place, one) == dict.fromkeys(one, SILENT))

    no_pings = tenant.level == "UserNamespace"  # see expected_from
    assert found == {name: "EACCES" if no_pings and name.endswith(" ping") else OPEN for name in around}


def test_a_lost_tool_comes_back_behind_its_guard(live: Live, backend: Backend, tenant: Tenant) -> None:
    """Kubernetes makes the pod again, and the canary that its guard waits for is not the operator's."""
    old = pod_of(live, tenant.namespace, "tool", tool="plain")

    tenant.admin.delete(Ref("Pod", old["metadata"]["name"], tenant.namespace), missing_ok=False)
    wait_until(
        "the old pod is gone",
        lambda: live.find(Ref("Pod", old["metadata"]["name"], tenant.namespace)) is None,
        timeout_seconds=60,
    )
    new = pod_of(live, tenant.namespace, "tool", tool="plain")
    tenant.pods["tool-plain"] = new  # for the tests after this one

    assert "guard" == new["spec"]["initContainers"][0]["name"]
    wait_until(
        "the tool answers again",
        lambda: tool_call(live, backend, tenant.name, "plain", "shell_exec", argv=["true"]).status == 200,
        timeout_seconds=60,
        interval_seconds=1,
    )


def test_a_new_pod_of_the_tenant_starts_behind_a_guard_and_its_fence(
    live: Live, tenant: Tenant, around: dict[str, Target]
) -> None:
    """It starts, so the canary answers; and it reaches nothing, so the policy was there before it."""
    tenant.admin.create(tenant_pod(tenant.namespace, "late", command=serving()))
    late = pod_ready(live, tenant.namespace, "late")
    found = probe(Place(tenant.namespace, "late", "main"), around)
    tenant.admin.delete(Ref("Pod", "late", tenant.namespace))

    assert "guard" == late["spec"]["initContainers"][0]["name"]
    assert around.keys() == found.keys()
    assert [] == [name for name, outcome in found.items() if outcome in ARRIVED]


def _privileged(tenant: Tenant) -> None:
    pod = tenant_pod(tenant.namespace, "privileged", command=serving())
    pod["spec"]["containers"][0]["securityContext"] = {"privileged": True}
    tenant.admin.create(pod, dry_run=True)


def _files_of_the_node(tenant: Tenant) -> None:
    pod = tenant_pod(tenant.namespace, "files", command=serving())
    volumes = [{"name": "node", "hostPath": {"path": "/"}}]
    tenant.admin.create({**pod, "spec": {**pod["spec"], "volumes": volumes}}, dry_run=True)


def _wide_policy(tenant: Tenant) -> None:
    spec: dict[str, Any] = {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}
    meta = {"name": "wide", "namespace": tenant.namespace}
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": meta, "spec": spec}
    tenant.admin.create(policy, dry_run=True)


def _managed_policy(tenant: Tenant) -> None:
    """Even an administrator of the cluster."""
    Live().merge(Ref("NetworkPolicy", "default-deny", tenant.namespace), {"spec": {"egress": [{}]}})


def _managed_policy_gone(tenant: Tenant) -> None:
    Live().delete(Ref("NetworkPolicy", "default-deny", tenant.namespace), missing_ok=False)


def _more_quota(tenant: Tenant) -> None:
    Live().merge(Ref("ResourceQuota", "workspace", tenant.namespace), {"spec": {"hard": {"pods": "999"}}})


def _weaker_namespace(tenant: Tenant) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    Live().merge(Ref("Namespace", tenant.namespace), {"metadata": {"labels": labels}})


@pytest.mark.parametrize(
    "attempt",
    [
        _privileged,
        _files_of_the_node,
        _wide_policy,
        _managed_policy,
        _managed_policy_gone,
        _more_quota,
        _weaker_namespace,
    ],
)
def test_fences_still_refuse(tenant: Tenant, attempt: Callable[[Tenant], None]) -> None:
    """Admission policies run in the API server; the pod that is as it should be still passes."""
    with pytest.raises(ApiRefusal) as refused:
        attempt(tenant)
    tenant.admin.create(tenant_pod(tenant.namespace, "fine", command=serving()), dry_run=True)

    assert 403 == refused.value.status, refused.value.message


@pytest.mark.parametrize("door", ["gateway", "egress"])
def test_nobody_enters_a_door(tenant: Tenant, door: str) -> None:
    """An administrator without the break-glass group is somebody, too; a tool of the tenant's is open."""
    place, own = tenant.place(door), tenant.place("caller")

    entered = kubectl("exec", "-n", own.namespace, own.pod, "--", "true", check=False)
    refused = kubectl("exec", "-n", place.namespace, place.pod, "--", "true", check=False)

    assert 0 == entered.returncode, entered.stderr
    assert 0 != refused.returncode
    assert "nobody enters the gateway or the egress proxy" in refused.stderr
