"""What the operator's identity may write, with every right there is: its own work, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.admission import ADMITTED, Request, apply, ask, at, create, delete, in_space, made, merge
from support.fenced import FOREIGN, OWN, SPACE, UID, WORKSPACE, changed, labelled, labels, pod

if TYPE_CHECKING:
    from kubelive import Live

pytestmark = pytest.mark.usefixtures("space", "foreign")

POLICY = "bulkhead-operator-fence"
RBAC = "rbac.authorization.k8s.io"
BULKHEAD = "bulkhead.dev/v1alpha1"
Manifest = dict[str, Any]


def thing(api_version: str, kind: str, name: str, where: str | None = None, /, **fields: Any) -> Manifest:
    """An object; in a workspace, with our labels, so that only what it is can be refused."""
    metadata: Manifest = {"name": name, "labels": labels()} | ({"namespace": where} if where else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def key(name: str = f"signing-key-{UID}", **fields: Any) -> Manifest:
    return thing("v1", "Secret", name, OWN, **fields)


def lease(name: str, where: str) -> Manifest:
    return thing("coordination.k8s.io/v1", "Lease", name, where, spec={"holderIdentity": "a"})


def event(where: str = "default", **fields: Any) -> Manifest:
    return thing("events.k8s.io/v1", "Event", "fences.1", where) | {
        "eventTime": "2026-01-01T00:00:00.000000Z",
        "reportingController": "bulkhead.dev/operator",
        "reportingInstance": "one",
        "action": "Reconcile",
        "reason": "Ready",
        "type": "Normal",
        "regarding": {"apiVersion": BULKHEAD, "kind": "TenantWorkspace", "name": WORKSPACE, "namespace": ""},
        **fields,
    }


OWN_WORK: dict[str, Request] = {
    "signing key": made(key(), "secrets"),
    # One that an operator left behind may be there.
    "Lease": apply(
        at("coordination.k8s.io/v1", "leases", "bulkhead-operator", namespace=OWN),
        lease("bulkhead-operator", OWN),
    ),
    "Event": made(event(), "events"),
    "finalizer": merge(
        at(BULKHEAD, "tenantworkspaces", WORKSPACE), {"metadata": {"finalizers": ["bulkhead.dev/teardown"]}}
    ),
    "status": merge(
        at(BULKHEAD, "tenantworkspaces", WORKSPACE, sub="status"), {"status": {"phase": "Pending"}}
    ),
    "expiry": delete(at(BULKHEAD, "tenantworkspaces", WORKSPACE)),
    "a tenant's pod": delete(in_space("v1", "pods", "own")),
    "all of a tenant's pods": delete(in_space("v1", "pods")),
    "a binding of a tenant's": delete(in_space(f"{RBAC}/v1", "rolebindings", "tenant-view")),
}


@pytest.mark.parametrize("case", OWN_WORK)
def test_its_own_work_goes_on(operator: Live, uid: str, case: str) -> None:
    """The control of all that follows."""
    outcome = ask(operator, OWN_WORK[case], uid)

    assert ADMITTED == outcome


MASTER_ROLE = thing(f"{RBAC}/v1", "ClusterRole", "fences-all") | {
    "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
}
CONFIG = {"data": {"key": "value"}}
CLUSTER_ADMIN = {
    "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"kind": "ServiceAccount", "name": "bulkhead-operator", "namespace": OWN}],
}
TOKEN = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
CSR = {
    "signerName": "kubernetes.io/kube-apiserver-client",
    "usages": ["client auth"],
    "request": "",
}

FORBIDDEN: dict[str, Request] = {
    # kube-system and what belongs to it
    "ConfigMap in kube-system": made(thing("v1", "ConfigMap", "x", "kube-system") | CONFIG, "configmaps"),
    "Secret in kube-system": made(thing("v1", "Secret", "signing-key-x", "kube-system"), "secrets"),
    "account in kube-system": made(thing("v1", "ServiceAccount", "x", "kube-system"), "serviceaccounts"),
    "edit in kube-system": merge(at("v1", "configmaps", "kube-root-ca.crt", namespace="kube-system"), CONFIG),
    "all ConfigMaps of kube-system": delete(at("v1", "configmaps", namespace="kube-system")),
    "token in kube-system": create(
        at("v1", "serviceaccounts", "replicaset-controller", namespace="kube-system", sub="token"), TOKEN
    ),
    "Role in kube-system": made(thing(f"{RBAC}/v1", "Role", "x", "kube-system") | {"rules": []}, "roles"),
    # the cluster
    "ClusterRole": made(MASTER_ROLE, "clusterroles"),
    "its own ClusterRole": merge(at(f"{RBAC}/v1", "clusterroles", "bulkhead-workspace"), {"rules": []}),
    "ClusterRole of a controller": merge(
        at(f"{RBAC}/v1", "clusterroles", "system:controller:replicaset-controller"), {"rules": []}
    ),
    "ClusterRoleBinding": made(
        thing(f"{RBAC}/v1", "ClusterRoleBinding", "x") | CLUSTER_ADMIN, "clusterrolebindings"
    ),
    "binding of cluster-admin": delete(at(f"{RBAC}/v1", "clusterrolebindings", "cluster-admin")),
    "its own CRD": merge(
        at("apiextensions.k8s.io/v1", "customresourcedefinitions", "tenantworkspaces.bulkhead.dev"),
        {"metadata": {"annotations": {"x": "y"}}},
    ),
    "deleting its CRD": delete(
        at("apiextensions.k8s.io/v1", "customresourcedefinitions", "tenantworkspaces.bulkhead.dev")
    ),
    "APIService": delete(at("apiregistration.k8s.io/v1", "apiservices", "v1.apps")),
    "PriorityClass": made(
        thing("scheduling.k8s.io/v1", "PriorityClass", "x") | {"value": 1}, "priorityclasses"
    ),
    "RuntimeClass": made(
        thing("node.k8s.io/v1", "RuntimeClass", "x") | {"handler": "runc"}, "runtimeclasses"
    ),
    "Node": made(thing("v1", "Node", "x"), "nodes"),
    "PersistentVolume": made(
        thing("v1", "PersistentVolume", "x")
        | {
            "spec": {
                "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": "/"},
            }
        },
        "persistentvolumes",
    ),
    "proxy to a node": Request("GET", at("v1", "nodes", "any", sub="proxy"), dry=False),
    # its own namespace
    "pod at home": made(pod("x", labels()) | {"metadata": {"name": "x", "namespace": OWN}}, "pods"),
    "ConfigMap at home": made(thing("v1", "ConfigMap", "x", OWN) | CONFIG, "configmaps"),
    "Secret of another name": made(key("x"), "secrets"),
    "Secret that becomes a token": made(
        thing("v1", "Secret", "signing-key-x", OWN, type="kubernetes.io/service-account-token")
        | {
            "metadata": {
                "name": "signing-key-x",
                "namespace": OWN,
                "annotations": {"kubernetes.io/service-account.name": "default"},
            }
        },
        "secrets",
    ),
    "another Lease": made(lease("x", OWN), "leases"),
    "its own token": create(
        at("v1", "serviceaccounts", "bulkhead-operator", namespace=OWN, sub="token"), TOKEN
    ),
    "its own account": merge(
        at("v1", "serviceaccounts", "bulkhead-operator", namespace=OWN), {"secrets": []}
    ),
    # Events and Leases of others
    "a node's Lease": made(lease("x", "kube-node-lease"), "leases"),
    "Event elsewhere": made(event("kube-system"), "events"),
    "Event in another's name": made(event(reportingController="kubelet"), "events"),
    "Event of the old kind": made(
        thing("v1", "Event", "x.1", "default") | {"involvedObject": {"namespace": "default"}}, "events"
    ),
    # its own kinds
    "a workspace of its own": made(
        thing(BULKHEAD, "TenantWorkspace", "x") | {"spec": {}}, "tenantworkspaces"
    ),
    "another's wish": merge(at(BULKHEAD, "tenantworkspaces", WORKSPACE), {"spec": {"sessionEpoch": 7}}),
    "another's label": merge(
        at(BULKHEAD, "tenantworkspaces", WORKSPACE), {"metadata": {"labels": {"team": "x"}}}
    ),
    "another's annotation": merge(
        at(BULKHEAD, "tenantworkspaces", WORKSPACE),
        {"metadata": {"annotations": {"bulkhead.dev/rotate-signing-key": "1"}}},
    ),
    "another's finalizer": merge(
        at(BULKHEAD, "tenantworkspaces", WORKSPACE), {"metadata": {"finalizers": ["example.com/mine"]}}
    ),
    "a class": made(thing(BULKHEAD, "WorkspaceClass", "x") | {"spec": {}}, "workspaceclasses"),
    # in a workspace
    "pod": made(pod("x", labels("gateway")), "pods"),
    "ConfigMap": made(thing("v1", "ConfigMap", "x", SPACE) | CONFIG, "configmaps"),
    "Role": made(thing(f"{RBAC}/v1", "Role", "x", SPACE) | {"rules": []}, "roles"),
    "edit of a tenant's object": merge(in_space("v1", "configmaps", "own"), CONFIG),
    "edit of a tenant's pod": merge(in_space("v1", "pods", "own"), {"metadata": {"labels": {"x": "y"}}}),
    "scale": merge(in_space("apps/v1", "deployments", "gateway", "scale"), {"spec": {"replicas": 9}}),
    "status of a workload": merge(in_space("apps/v1", "deployments", "gateway", "status"), {"status": {}}),
    "eviction": create(
        in_space("v1", "pods", "own", "eviction"),
        {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "own", "namespace": SPACE}},
    ),
    "choice of a node": create(
        in_space("v1", "pods", "own", "binding"),
        {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": "own"},
            "target": {"kind": "Node", "name": "x"},
        },
    ),
    "token of an account": create(in_space("v1", "serviceaccounts", "gateway", "token"), TOKEN),
    "exec": Request("POST", in_space("v1", "pods", "own", "exec") + "?command=id", dry=False),
    "port-forward": Request("POST", in_space("v1", "pods", "own", "portforward"), dry=False),
    "proxy to a Service": Request("GET", in_space("v1", "services", "own", "proxy"), dry=False),
    "Secret that becomes a token here": made(
        thing("v1", "Secret", "secret-x", SPACE, type="kubernetes.io/service-account-token")
        | {
            "metadata": {
                "name": "secret-x",
                "namespace": SPACE,
                "labels": labels(),
                "annotations": {"kubernetes.io/service-account.name": "gateway"},
            }
        },
        "secrets",
    ),
    "object without labels": made(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "x", "namespace": SPACE}},
        "serviceaccounts",
    ),
    "object of another workspace": made(
        changed(thing("v1", "ServiceAccount", "x", SPACE), labelled("bulkhead.dev/workspace-uid", "0")),
        "serviceaccounts",
    ),
    # elsewhere
    "NetworkPolicy elsewhere": made(
        thing("networking.k8s.io/v1", "NetworkPolicy", "x", FOREIGN) | {"spec": {"podSelector": {}}},
        "networkpolicies",
    ),
    "Secret elsewhere": made(thing("v1", "Secret", "secret-x", FOREIGN), "secrets"),
    "deleting elsewhere": delete(at("v1", "serviceaccounts", "default", namespace=FOREIGN)),
    "all Secrets elsewhere": delete(at("v1", "serviceaccounts", namespace=FOREIGN)),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_everything_else_is_refused(operator: Live, uid: str, case: str) -> None:
    """CVE-2026-22872, CVE-2026-65835: what tenants talked a controller into, its rights let through."""
    outcome = ask(operator, FORBIDDEN[case], uid)

    assert (403, POLICY) == (outcome.status, outcome.policy), outcome.message
    assert "the operator " in outcome.message


def test_admission_configuration_is_beyond_admission(operator: Live) -> None:
    """Kubernetes asks no policy about policies. Should that change, the page may promise more."""
    binding = at("admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", POLICY)

    assert ADMITTED == delete(binding).by(operator)
