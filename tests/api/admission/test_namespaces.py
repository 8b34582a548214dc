"""A namespace is a workspace by its labels: nobody but the operator puts, changes or removes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.admission import ADMITTED, Request, apply, ask, create, delete, merge, replace
from support.fenced import FOREIGN, SPACE, changed, labelled, labels, namespace

if TYPE_CHECKING:
    from kubelive import Live

pytestmark = pytest.mark.usefixtures("space", "foreign")

POLICY = "bulkhead-namespaces"
NAMESPACES = "/api/v1/namespaces"
HERE, THERE = f"{NAMESPACES}/{SPACE}", f"{NAMESPACES}/{FOREIGN}"
Manifest = dict[str, Any]


def relabel(path: str, **patch: Any) -> Request:
    return merge(path, {"metadata": patch})


def whole(name: str, its_labels: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": its_labels}}


BARE = whole("bh-free-00000", {"team": "other"})
OWNER = namespace()["metadata"]["ownerReferences"]

NOBODYS_BUSINESS: dict[str, Request] = {
    "a name that begins like ours": create(NAMESPACES, BARE),
    "managed by another": create(NAMESPACES, changed(BARE, labelled("app.kubernetes.io/managed-by", "Helm"))),
    "a client of gateways": create(
        NAMESPACES, changed(BARE, labelled("bulkhead.dev/gateway-client", "true"))
    ),
    "a foreign namespace's label": relabel(THERE, labels={"team": "x"}),
    "a foreign namespace becomes a client": relabel(THERE, labels={"bulkhead.dev/gateway-client": "true"}),
    "a foreign namespace's pod security": relabel(
        THERE, labels={"pod-security.kubernetes.io/enforce": "baseline"}
    ),
    "a foreign namespace's status": merge(f"{THERE}/status", {"status": {"phase": "Active"}}),
    "the end of a foreign namespace": delete(THERE),
    "a workspace's foreign label": relabel(HERE, labels={"cost-centre": "7"}),
    "a workspace's foreign annotation": relabel(HERE, annotations={"example.com/x": "y"}),
}


@pytest.mark.parametrize("case", NOBODYS_BUSINESS)
def test_what_is_not_ours_is_nobodys_business(admin: Live, case: str) -> None:
    """The control; and a fence around everybody's namespaces would be taken down on the first day."""
    assert ADMITTED == NOBODYS_BUSINESS[case].by(admin)


KEPT_LABELS: dict[str, Request] = {
    "made with our label": create(
        NAMESPACES, changed(BARE, labelled("app.kubernetes.io/managed-by", "bulkhead"))
    ),
    "made with a uid": create(NAMESPACES, changed(BARE, labelled("bulkhead.dev/workspace-uid", "0"))),
    "made with a level": create(
        NAMESPACES, changed(BARE, labelled("bulkhead.dev/isolation-level", "Baseline"))
    ),
    "made by apply": apply(f"{NAMESPACES}/bh-free-00000", whole("bh-free-00000", labels())),
    "made whole": create(NAMESPACES, namespace("bh-fences-00000")),
    "adopted": relabel(THERE, labels=labels()),
    "adopted by its uid alone": relabel(THERE, labels={"bulkhead.dev/workspace-uid": "0"}),
    "adopted by status": merge(f"{THERE}/status", {"metadata": {"labels": labels()}}),
    "adopted by finalize": replace(f"{THERE}/finalize", whole(FOREIGN, labels())),
    "kube-system adopted": relabel(f"{NAMESPACES}/kube-system", labels=labels()),
    "another uid": relabel(HERE, labels={"bulkhead.dev/workspace-uid": "0"}),
    "no uid": relabel(HERE, labels={"bulkhead.dev/workspace-uid": None}),
    "no longer managed": relabel(HERE, labels={"app.kubernetes.io/managed-by": None}),
    "managed by another": relabel(HERE, labels={"app.kubernetes.io/managed-by": "Helm"}),
    "no labels at all": relabel(HERE, labels=None),
    "a lower level": relabel(HERE, labels={"bulkhead.dev/isolation-level": "UserNamespace"}),
    "a client of other gateways": relabel(HERE, labels={"bulkhead.dev/gateway-client": "true"}),
    "privileged pods": relabel(HERE, labels={"pod-security.kubernetes.io/enforce": "privileged"}),
    "an old release's rules": relabel(HERE, labels={"pod-security.kubernetes.io/enforce-version": "v1.24"}),
    "no warning": relabel(HERE, labels={"pod-security.kubernetes.io/warn": None}),
    "by status": merge(f"{HERE}/status", {"metadata": {"labels": {"bulkhead.dev/workspace-uid": "0"}}}),
}


@pytest.mark.parametrize("who", ["admin", "controller"])
@pytest.mark.parametrize("case", KEPT_LABELS)
def test_our_labels_are_the_operators(request: pytest.FixtureRequest, uid: str, who: str, case: str) -> None:
    """CVE-2024-39690, CVE-2025-55205, GHSA-2ww6-hf35-mfjm: identity in labels that others could write."""
    outcome = ask(request.getfixturevalue(who), KEPT_LABELS[case], uid)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert "the label " in outcome.message
    assert "is the operator's" in outcome.message
    assert "--as-group=bulkhead:break-glass" in outcome.message


ANNOTATIONS = {
    "bulkhead.dev/allowed-images": "*",
    "bulkhead.dev/guard-image": "registry.example/evil:1",
    "bulkhead.dev/guard-config": None,
    "bulkhead.dev/runtime-class": "runc",
}


@pytest.mark.parametrize("key", ANNOTATIONS)
def test_what_admission_goes_by_is_the_operators(admin: Live, key: str) -> None:
    """The policies for tenants' pods read images, guard and runtime class from these annotations."""
    outcome = relabel(HERE, annotations={key: ANNOTATIONS[key]}).by(admin)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert f"the annotation {key} is the operator's" in outcome.message


OWNERS: dict[str, Request] = {
    "ours, orphaned": relabel(HERE, ownerReferences=None),
    "ours, of another": relabel(HERE, ownerReferences=[OWNER[0] | {"uid": "0"}]),
    "foreign, owned": relabel(THERE, ownerReferences=OWNER),
    "kube-system, owned": relabel(f"{NAMESPACES}/kube-system", ownerReferences=OWNER),
    "new, owned": create(NAMESPACES, {**BARE, "metadata": BARE["metadata"] | {"ownerReferences": OWNER}}),
}


@pytest.mark.parametrize("case", OWNERS)
def test_only_the_operator_makes_a_namespace_a_workspaces_property(admin: Live, uid: str, case: str) -> None:
    """CVE-2022-46167: without its owner a namespace outlives its workspace, or belongs to another."""
    outcome = ask(admin, OWNERS[case], uid)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert "the property of a TenantWorkspace" in outcome.message


def test_a_workspaces_namespace_ends_with_its_workspace(admin: Live, controller: Live) -> None:
    """Deleted beneath its workspace, its pods would outlive their policies."""
    outcome = delete(HERE).by(admin)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert "kubectl delete tenantworkspace fences" in outcome.message
    assert ADMITTED == delete(HERE).by(controller)


@pytest.mark.parametrize("sub", ["status", "finalize"])
def test_status_and_finalize_are_kubernetes_own(admin: Live, controller: Live, uid: str, sub: str) -> None:
    """An emptied list of finalizers ends a namespace over objects that nobody has ended."""
    request = replace(f"{HERE}/{sub}", namespace() | {"status": {"phase": "Active"}})

    outcome = ask(admin, request, uid)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert "Kubernetes' own" in outcome.message
    assert ADMITTED == ask(controller, request, uid)


EMERGENCIES = {**KEPT_LABELS, **OWNERS, "its end": delete(HERE)}


@pytest.mark.parametrize("case", EMERGENCIES)
def test_broken_glass_lets_an_administrator_through(glass: Live, uid: str, case: str) -> None:
    """What no policy lets anybody mend stays broken."""
    assert ask(glass, EMERGENCIES[case], uid).policy == ""


def test_a_tenant_cannot_reach_its_own_namespace(tenant: Live) -> None:
    """RBAC comes first: Kubernetes' role `admin` has no right to write the namespace, status or finalize."""
    asked = [
        relabel(HERE, labels={"team": "x"}),
        delete(HERE),
        merge(f"{HERE}/status", {"status": {}}),
        replace(f"{HERE}/finalize", namespace()),
    ]

    assert [403] * len(asked) == [each.by(tenant).status for each in asked]
