"""A workspace made by hand, under all policies of the chart, and the people who try to get at it.

Nobody here lacks a right: RBAC would refuse most of what these tests try, so that they would prove nothing of
the policies. Requests are dry runs; what stays for a moment carries a scheduling gate, so no pod starts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.fenced import FOREIGN, SPACE, WORKSPACE, contents, namespace, with_uid

from kubelive import ApiRefusal, Live, Ref, wait_until
from kubelive.fences import install_fences, operator_user

if TYPE_CHECKING:
    from collections.abc import Iterator

MASTERS = ("system:masters",)


@pytest.fixture(scope="session", autouse=True)
def fences() -> None:
    """Every policy of the chart is in force."""
    install_fences()


@pytest.fixture(scope="session")
def glass(fences: None) -> Live:
    """An administrator who breaks the glass."""
    return Live.break_glass()


@pytest.fixture(scope="session")
def admin() -> Live:
    """An administrator of the cluster who does not."""
    return Live(as_user="cluster-admin", as_groups=MASTERS)


@pytest.fixture(scope="session")
def operator() -> Live:
    """The operator's identity with every right there is: only the fence is left."""
    return Live(as_user=operator_user(), as_groups=MASTERS)


@pytest.fixture(scope="session")
def controller() -> Live:
    """One of Kubernetes' own controllers."""
    return Live(as_user="system:serviceaccount:kube-system:replicaset-controller", as_groups=MASTERS)


@pytest.fixture(scope="session")
def tenant(glass: Live, space: str) -> Live:
    """A tenant with Kubernetes' own role `admin` in the workspace: more than any role of ours."""
    subject = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "fences-tenant"}
    glass.apply(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "fences-tenant", "namespace": space},
            "roleRef": {"apiGroup": subject["apiGroup"], "kind": "ClusterRole", "name": "admin"},
            "subjects": [subject],
        }
    )
    tenant = Live(as_user="fences-tenant", as_groups=("system:authenticated",))
    path = Ref("ConfigMap", "any", space).path
    wait_until("the tenant's rights in force", lambda: _is_let_in(tenant, path), timeout_seconds=20)
    return tenant


@pytest.fixture(scope="session")
def foreign(glass: Live) -> Iterator[str]:
    """A namespace that has nothing to do with us."""
    glass.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": FOREIGN, "labels": {"team": "other"}}}
    )
    yield FOREIGN
    glass.delete(Ref("Namespace", FOREIGN))


@pytest.fixture(scope="session")
def uid(glass: Live) -> Iterator[str]:
    """The UID of a real TenantWorkspace: the garbage collector would end what belongs to an invented one."""
    ref = Ref("TenantWorkspace", WORKSPACE)
    found = glass.apply(
        {
            "apiVersion": "bulkhead.dev/v1alpha1",
            "kind": "TenantWorkspace",
            "metadata": {"name": WORKSPACE},
            "spec": {"className": "fences-no-such-class"},
        }
    )
    yield str(found["metadata"]["uid"])
    glass.delete(ref)
    if glass.find(ref):
        glass.merge(ref, {"metadata": {"finalizers": None}})


@pytest.fixture(scope="session")
def space(glass: Live, uid: str) -> Iterator[str]:
    """The workspace's namespace with something of each sort in it."""
    glass.apply(with_uid(namespace(), uid))
    wait_until(
        "the default ServiceAccount", lambda: glass.find(Ref("ServiceAccount", "default", SPACE)) is not None
    )
    for manifest in contents():
        glass.apply(with_uid(manifest, uid))
    yield SPACE
    glass.delete(Ref("Namespace", SPACE))
    wait_until("the namespace gone", lambda: glass.find(Ref("Namespace", SPACE)) is None, timeout_seconds=60)


def _is_let_in(live: Live, path: str) -> bool:
    try:
        live.call("GET", path)
    except ApiRefusal as refusal:
        return refusal.status == 404
    return True
