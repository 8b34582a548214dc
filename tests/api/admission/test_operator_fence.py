"""The operator's identity with every right there is: the fence alone holds it.

Each table starts from a request that is admitted, and changes one thing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.admission import ADMITTED, apply, ask, at, create, delete, in_space, merge, replace
from support.fenced import (
    FOREIGN,
    OWN,
    SPACE,
    changed,
    labelled,
    labels,
    named,
    namespace,
    owned,
    with_uid,
)

from kubelive import Live, Ref
from kubelive.fences import operator_user

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("space", "foreign")

POLICY = "bulkhead-operator-fence"
RBAC = "rbac.authorization.k8s.io"
BULKHEAD = "bulkhead.dev/v1alpha1"
Manifest = dict[str, Any]


NAMESPACES = "/api/v1/namespaces"
NEW = namespace("bh-fences-00000")
PSA = [
    f"pod-security.kubernetes.io/{mode}{suffix}"
    for mode in ("audit", "enforce", "warn")
    for suffix in ("", "-version")
]

MALFORMED_NAMESPACES: dict[str, tuple[Callable[[Manifest], object], str]] = {
    "not managed by us": (labelled("app.kubernetes.io/managed-by", None), "managed-by: bulkhead"),
    "managed by another": (labelled("app.kubernetes.io/managed-by", "Helm"), "managed-by: bulkhead"),
    "no uid": (labelled("bulkhead.dev/workspace-uid", None), "bulkhead.dev/workspace-uid"),
    "no workspace": (labelled("bulkhead.dev/workspace", None), "is called bh-<workspace>"),
    "no level": (labelled("bulkhead.dev/isolation-level", None), "isolation-level"),
    "unknown level": (labelled("bulkhead.dev/isolation-level", "None"), "isolation-level"),
    "no owner": (
        lambda manifest: manifest["metadata"].pop("ownerReferences"),
        "owned by the TenantWorkspace",
    ),
    "owner of another uid": (owned(uid="0"), "owned by the TenantWorkspace"),
    "owner of another kind": (owned(apiVersion="v1", kind="ConfigMap"), "owned by the TenantWorkspace"),
    "name of a system": (named("team-a"), "is called bh-<workspace>"),
    "name of another workspace": (named("bh-other-00000"), "is called bh-<workspace>"),
    "name with more": (named("bh-fences-00000-more"), "is called bh-<workspace>"),
    "name not in hexadecimal": (named("bh-fences-0000g"), "is called bh-<workspace>"),
    "client of gateways": (labelled("bulkhead.dev/gateway-client", "true"), "bulkhead.dev/gateway-client"),
    "sidecars injected": (labelled("istio-injection", "enabled"), "istio-injection"),
    "no belt": (labelled("bulkhead.dev/belt-4", None), "bulkhead.dev/belt-0 to -9"),
    "the belt of another": (labelled("bulkhead.dev/belt-9", "1"), "bulkhead.dev/belt-0 to -9"),
    **{f"without {label}": (labelled(label, None), "pod-security") for label in PSA},
    "baseline pods": (labelled("pod-security.kubernetes.io/enforce", "baseline"), "pod-security"),
    "an old release's rules": (
        labelled("pod-security.kubernetes.io/enforce-version", "v1.24"),
        "pod-security",
    ),
}


def test_a_workspaces_namespace_may_be_made(operator: Live, uid: str) -> None:
    """The control: without it, no workspace would come into being."""
    assert ADMITTED == ask(operator, create(NAMESPACES, NEW), uid)


@pytest.mark.parametrize("case", MALFORMED_NAMESPACES)
def test_no_namespace_of_another_form(operator: Live, uid: str, case: str) -> None:
    """Whoever makes a namespace of his own choice writes in it what he likes."""
    change, words = MALFORMED_NAMESPACES[case]

    outcome = ask(operator, create(NAMESPACES, changed(NEW, change)), uid)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert words in outcome.message


@pytest.mark.parametrize("case", MALFORMED_NAMESPACES)
def test_no_namespace_of_another_form_by_apply(operator: Live, uid: str, case: str) -> None:
    """Server-side apply creates what is missing, and is asked as an update is."""
    change, words = MALFORMED_NAMESPACES[case]
    body = changed(NEW, change)

    outcome = ask(operator, apply(f"{NAMESPACES}/{body['metadata']['name']}", body), uid)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert words in outcome.message


HERE = f"{NAMESPACES}/{SPACE}"
CHANGES_OF_A_NAMESPACE: dict[str, tuple[Manifest, str]] = {
    "another uid": ({"labels": {"bulkhead.dev/workspace-uid": "0"}}, "never changes"),
    "no uid": ({"labels": {"bulkhead.dev/workspace-uid": None}}, "never changes"),
    "not managed": ({"labels": {"app.kubernetes.io/managed-by": None}}, "managed-by: bulkhead"),
    "another workspace": ({"labels": {"bulkhead.dev/workspace": "other"}}, "is called bh-<workspace>"),
    "privileged": ({"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}, "pod-security"),
    "client": ({"labels": {"bulkhead.dev/gateway-client": "true"}}, "bulkhead.dev/gateway-client"),
    "no belt": ({"labels": {"bulkhead.dev/belt-0": None}}, "bulkhead.dev/belt-0 to -9"),
    "a belt more": ({"labels": {"bulkhead.dev/belt-10": "0"}}, "no label bulkhead.dev/belt-10"),
    "no owner": ({"ownerReferences": None}, "owned by the TenantWorkspace"),
}


@pytest.mark.parametrize(
    "patch",
    [{"labels": {"bulkhead.dev/isolation-level": "Sandboxed"}}, {"annotations": {"bulkhead.dev/x": "y"}}],
)
def test_the_operators_own_namespace_may_be_changed(operator: Live, patch: Manifest) -> None:
    """The control: a class's level changes, and the gateway's address becomes known."""
    assert ADMITTED == merge(HERE, {"metadata": patch}).by(operator)


@pytest.mark.parametrize("case", CHANGES_OF_A_NAMESPACE)
def test_a_workspaces_namespace_stays_one(operator: Live, case: str) -> None:
    """What makes it a workspace is what the other fences go by."""
    patch, words = CHANGES_OF_A_NAMESPACE[case]

    outcome = merge(HERE, {"metadata": patch}).by(operator)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert words in outcome.message


def test_a_namespace_without_its_uid_label_is_given_it_back(glass: Live, operator: Live, uid: str) -> None:
    """Stripping a label must not take it out of the operator's hands: its owner tells whose it is."""
    name = "bh-fences-00001"
    bare = with_uid(changed(namespace(name), labelled("bulkhead.dev/workspace-uid", None)), uid)
    glass.apply(bare)
    try:
        assert ADMITTED == ask(operator, apply(f"{NAMESPACES}/{name}", namespace(name)), uid)
    finally:
        glass.delete(Ref("Namespace", name))


@pytest.mark.parametrize("target", ["kube-system", "default", FOREIGN, OWN])
@pytest.mark.parametrize(
    "patch",
    [
        {"labels": {"team": "x"}},
        {"labels": labels()},
        {
            "labels": namespace()["metadata"]["labels"],
            "ownerReferences": namespace()["metadata"]["ownerReferences"],
        },
        {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
        {"annotations": {"x": "y"}},
    ],
    ids=["label", "our labels", "adopt whole", "pod security", "annotation"],
)
def test_foreign_namespaces_are_left_alone(operator: Live, uid: str, target: str, patch: Manifest) -> None:
    """CVE-2024-39690, CVE-2025-55205: controllers took over namespaces that were not theirs."""
    outcome = ask(operator, merge(f"{NAMESPACES}/{target}", {"metadata": patch}), uid)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert "belongs to no workspace" in outcome.message


@pytest.mark.parametrize("target", [FOREIGN, OWN, SPACE])
@pytest.mark.parametrize("sub", ["status", "finalize"])
def test_status_and_finalize_of_namespaces_are_not_the_operators(
    operator: Live, target: str, sub: str
) -> None:
    """GHSA-2ww6-hf35-mfjm: labels changed by way of `namespaces/status`."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": target, "labels": {"team": "x"}}}

    outcome = replace(f"{NAMESPACES}/{target}/{sub}", body).by(operator)

    assert (403, POLICY) == (outcome.status, outcome.policy)


def test_only_workspaces_namespaces_are_deleted(operator: Live) -> None:
    """A wrong name in a teardown must not end somebody else's namespace."""
    outcome = delete(f"{NAMESPACES}/{FOREIGN}").by(operator)

    assert ADMITTED == delete(HERE).by(operator)
    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert "belongs to no workspace" in outcome.message


BINDINGS = in_space(f"{RBAC}/v1", "rolebindings")
ITSELF = {
    "apiVersion": f"{RBAC}/v1",
    "kind": "RoleBinding",
    "metadata": {"name": "bulkhead-operator", "namespace": SPACE, "labels": labels()},
    "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "bulkhead-workspace"},
    "subjects": [{"kind": "ServiceAccount", "name": "bulkhead-operator", "namespace": OWN}],
}
PEOPLE = ITSELF | {
    "metadata": {"name": "tenant-admin", "namespace": SPACE, "labels": labels()},
    "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "bulkhead-tenant-admin"},
    "subjects": [
        {"apiGroup": RBAC, "kind": "Group", "name": "acme-devs"},
        {"apiGroup": RBAC, "kind": "User", "name": "system:serviceaccount:platform:ci"},
    ],
}


def to(kind: str, name: str, **more: str) -> Callable[[Manifest], object]:
    return lambda manifest: manifest.update(subjects=[{"kind": kind, "name": name, **more}])


def role(name: str, kind: str = "ClusterRole") -> Callable[[Manifest], object]:
    return lambda manifest: manifest["roleRef"].update(name=name, kind=kind)


BAD_BINDINGS: dict[str, tuple[Manifest, Callable[[Manifest], object]]] = {
    "cluster-admin to itself": (ITSELF, role("cluster-admin")),
    "admin to itself": (ITSELF, role("admin")),
    "a Role of that name": (ITSELF, role("bulkhead-workspace", "Role")),
    "a tenant's role to itself": (ITSELF, role("bulkhead-tenant-admin")),
    "itself by another name": (ITSELF, named("mine")),
    "to one more": (ITSELF, lambda manifest: manifest["subjects"].append({"kind": "User", "name": "eve"})),
    "to another account of its own": (ITSELF, to("ServiceAccount", "default", namespace=OWN)),
    "to an account elsewhere": (ITSELF, to("ServiceAccount", "bulkhead-operator", namespace="kube-system")),
    "to a person": (ITSELF, to("User", operator_user())),
    "cluster-admin to people": (PEOPLE, role("cluster-admin")),
    "the operator's role to people": (PEOPLE, role("bulkhead-workspace")),
    "another role than its name says": (PEOPLE, role("bulkhead-tenant-view")),
    "a Role to people": (PEOPLE, role("bulkhead-tenant-admin", "Role")),
    "to masters": (PEOPLE, to("Group", "system:masters")),
    "to everybody": (PEOPLE, to("Group", "system:authenticated")),
    "to nobody in particular": (PEOPLE, to("Group", "system:unauthenticated")),
    "to the anonymous": (PEOPLE, to("User", "system:anonymous")),
    "to every account": (PEOPLE, to("Group", "system:serviceaccounts")),
    "to the operator's accounts": (PEOPLE, to("Group", f"system:serviceaccounts:{OWN}")),
    "to the operator by its user name": (PEOPLE, to("User", operator_user())),
    "to the tenant's pods": (PEOPLE, to("User", f"system:serviceaccount:{SPACE}:runtime")),
    "to all the tenant's pods": (PEOPLE, to("Group", f"system:serviceaccounts:{SPACE}")),
    "to the gateway": (PEOPLE, to("ServiceAccount", "gateway", namespace=SPACE)),
}


@pytest.mark.parametrize("body", [ITSELF, PEOPLE], ids=["itself", "people"])
def test_the_named_roles_are_bound(operator: Live, uid: str, body: Manifest) -> None:
    """The control."""
    assert ADMITTED == ask(operator, apply(f"{BINDINGS}/{body['metadata']['name']}", body), uid)


@pytest.mark.parametrize("case", BAD_BINDINGS)
def test_nothing_else_is_bound(operator: Live, uid: str, case: str) -> None:
    """Who binds a role of his choice has every right, whatever his own role says."""
    body, change = BAD_BINDINGS[case]

    outcome = ask(operator, create(BINDINGS, changed(body, change)), uid)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert "the operator binds bulkhead-workspace to itself" in outcome.message


@pytest.mark.parametrize("where", ["kube-system", "default", OWN, FOREIGN])
def test_nothing_is_bound_elsewhere(operator: Live, uid: str, where: str) -> None:
    """The very binding that is right in a workspace opens every Secret of another namespace."""
    body = changed(ITSELF, lambda manifest: manifest["metadata"].update(namespace=where))

    outcome = ask(operator, create(at(f"{RBAC}/v1", "rolebindings", namespace=where), body), uid)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert f"in {where}" in outcome.message
