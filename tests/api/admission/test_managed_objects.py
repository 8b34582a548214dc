"""What the operator made changes by its hand only, and nothing else may pass for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.admission import ADMITTED, Request, at, create, delete, in_space, made, merge
from support.fenced import OWN, SPACE, contents, labels, thing

from kubelive import Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubelive import Live

pytestmark = pytest.mark.usefixtures("space")

POLICY = "bulkhead-managed-objects"
RBAC = "rbac.authorization.k8s.io"
KEY = "signing-key-fences"
Manifest = dict[str, Any]
MINE = {"team": "acme"}
CHOSEN = {"matchLabels": MINE}


OURS = {
    "quota": in_space("v1", "resourcequotas", "workspace"),
    "account": in_space("v1", "serviceaccounts", "gateway"),
    "Secret": in_space("v1", "secrets", "session-keys"),
    "Service": in_space("v1", "services", "gateway"),
    "policy": in_space("networking.k8s.io/v1", "networkpolicies", "default-deny"),
    "binding": in_space(f"{RBAC}/v1", "rolebindings", "tenant-view"),
    "Deployment": in_space("apps/v1", "deployments", "gateway"),
}
GATEWAY_POD = "gateway-5d5d5-abcde"
ANNOTATED = {"metadata": {"annotations": {"x": "y"}}}
UNLABELLED = {"metadata": {"labels": None}}
STATUS: Manifest = {"status": {}}

CHANGES: dict[str, Request] = {
    **{f"{name} edited": merge(path, ANNOTATED) for name, path in OURS.items()},
    **{f"{name} unlabelled": merge(path, UNLABELLED) for name, path in OURS.items()},
    **{f"{name} deleted": delete(path) for name, path in OURS.items()},
    **{
        f"all deleted, {name} among them": delete(path.rpartition("/")[0])
        for name, path in OURS.items()
        if name not in {"account", "Service"}  # foreign ones beside them, and Services know no such request
    },
    "finalizer put on": merge(OURS["Secret"], {"metadata": {"finalizers": ["example.com/mine"]}}),
    "quota raised": merge(OURS["quota"], {"spec": {"hard": {"pods": "1000"}}}),
    "quota's status": merge(OURS["quota"] + "/status", {"status": {"hard": {"pods": "1000"}}}),
    "Deployment's status": merge(OURS["Deployment"] + "/status", {"status": {"replicas": 3}}),
    "Service's status": merge(OURS["Service"] + "/status", {"status": {"loadBalancer": {}}}),
    "pod edited": merge(in_space("v1", "pods", GATEWAY_POD), ANNOTATED),
    "pod unlabelled": merge(in_space("v1", "pods", GATEWAY_POD), UNLABELLED),
    "pod's status": merge(in_space("v1", "pods", GATEWAY_POD, "status"), {"status": {"phase": "Failed"}}),
    "pod resized": Request(
        "PATCH",
        in_space("v1", "pods", GATEWAY_POD, "resize"),
        {"spec": {"containers": [{"name": "main", "resources": {"limits": {"cpu": "20m"}}}]}},
        "application/strategic-merge-patch+json",
    ),
    "key edited": merge(at("v1", "secrets", KEY, namespace=OWN), ANNOTATED),
    "key unlabelled": merge(at("v1", "secrets", KEY, namespace=OWN), UNLABELLED),
    "key deleted": delete(at("v1", "secrets", KEY, namespace=OWN)),
}


@pytest.fixture(scope="module", autouse=True)
def key(glass: Live, uid: str) -> Iterator[None]:
    """A signing key in the operator's namespace."""
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {"name": KEY, "namespace": OWN},
    }
    body["metadata"] |= {"labels": {"bulkhead.dev/workspace-uid": uid}}  # type: ignore[operator]
    glass.apply(body)
    yield
    glass.delete(Ref("Secret", KEY, OWN))


@pytest.mark.parametrize("case", CHANGES)
def test_ours_change_by_the_operators_hand_only(admin: Live, case: str) -> None:
    """Even an administrator's edit would be undone; refused, it says where the change belongs."""
    outcome = CHANGES[case].by(admin)

    assert (403, POLICY) == (outcome.status, outcome.policy), outcome.message
    assert "kept by the operator as part of TenantWorkspace" in outcome.message
    assert "--as-group=bulkhead:break-glass" in outcome.message


@pytest.mark.parametrize("case", [case for case in CHANGES if "key" not in case])
def test_a_tenant_cannot_change_ours(tenant: Live, case: str) -> None:
    """With Kubernetes' own role `admin` in its namespace, which may write nearly all of these."""
    assert CHANGES[case].by(tenant).status == 403


@pytest.mark.parametrize("case", CHANGES)
def test_operator_control_plane_and_broken_glass_may(glass: Live, controller: Live, case: str) -> None:
    """Quota is counted, Deployments report, namespaces are emptied: Kubernetes goes on."""
    assert ["", ""] == [CHANGES[case].by(live).policy for live in (glass, controller)]


def test_pods_are_restarted_by_whom_rbac_lets(tenant: Live) -> None:
    """`operate` is logs and restart."""
    path = in_space("v1", "pods", GATEWAY_POD)
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": GATEWAY_POD, "namespace": SPACE},
    }

    assert ADMITTED == delete(path).by(tenant)
    assert ADMITTED == delete(in_space("v1", "pods")).by(tenant)
    assert ADMITTED == create(f"{path}/eviction", eviction).by(tenant)


def test_others_events_about_ours_are_written(admin: Live) -> None:
    """A network engine's or a storage driver's Event begins with the name of what it is about."""
    body = thing("v1", "Event", "tool-search.17a5b", labels())
    body |= {"involvedObject": {"kind": "Pod", "name": "tool-search", "namespace": SPACE}, "reason": "Pulled"}

    assert ADMITTED == made(body, "events").by(admin)


def test_nothing_of_this_holds_in_other_namespaces(admin: Live, foreign: str) -> None:
    """Names and labels are ours in workspaces only."""
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "gateway", "namespace": foreign, "labels": {"bulkhead.dev/component": "x"}},
    }

    assert ADMITTED == made(body, "configmaps").by(admin)


def test_the_charts_own_objects_stay_helms(admin: Live) -> None:
    """In the operator's namespace only what belongs to a workspace is the operator's."""
    account = at("v1", "serviceaccounts", "bulkhead-operator", namespace=OWN)

    assert ADMITTED == merge(account, ANNOTATED).by(admin)


def test_the_table_changes_something_of_every_sort() -> None:
    """A sort that nobody tries could lose its fence unseen."""
    sorts = {each["kind"] for each in contents() if "bulkhead.dev/workspace" in each["metadata"]["labels"]}

    assert sorts - {"Pod"} == {
        "ResourceQuota", "ServiceAccount", "Secret", "Service", "NetworkPolicy", "RoleBinding", "Deployment",
    }  # fmt: skip
