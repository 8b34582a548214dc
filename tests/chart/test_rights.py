"""Rights: each by verb and resource, nothing by wildcard, no Secret anywhere but where it is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkhead import names
from bulkhead.plan import teardown
from bulkhead.render.rbac import TENANT_RULES

from .conftest import NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Helm, Rendered

Grant = tuple[str, str, str]  # group, resource, verb


def _rules(release: Rendered) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind in ("ClusterRole", "Role"):
        for role in release.all(kind):
            for rule in role["rules"]:
                yield f"{kind} {role['metadata']['name']}", rule


def _grants(rules: list[dict[str, Any]]) -> set[Grant]:
    """What rules without resource names grant."""
    return {
        (group, resource, verb)
        for rule in rules
        if "resourceNames" not in rule
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def test_no_rule_has_a_wildcard(release: Rendered) -> None:
    """A star grants what does not exist yet, such as the next kind that somebody installs."""
    starred = [
        who
        for who, rule in _rules(release)
        if any("*" in word for part in ("apiGroups", "resources", "verbs") for word in rule[part])
    ]

    assert [] == starred


def test_no_rule_lifts_its_holder(release: Rendered) -> None:
    """escalate, impersonate and a free bind make any role into cluster-admin."""
    lifting = [
        (who, verb)
        for who, rule in _rules(release)
        for verb in rule["verbs"]
        if verb in {"escalate", "impersonate", "bind"}
        and rule.get("resourceNames") != [names.WORKSPACE_CLUSTER_ROLE]
    ]

    assert [] == lifting


def test_the_operator_binds_one_named_role_under_one_name(release: Rendered) -> None:
    """Free creation of RoleBindings would let it hand its rights to anybody, anywhere."""
    rules = release.one("ClusterRole", "bulkhead-operator")["rules"]
    writing = [
        rule
        for rule in rules
        if "rbac.authorization.k8s.io" in rule["apiGroups"]
        and set(rule["verbs"]) & {"create", "patch", "update", "bind"}
    ]

    assert [
        (["rolebindings"], [names.OPERATOR_BINDING]),
        (["clusterroles"], [names.WORKSPACE_CLUSTER_ROLE]),
    ] == [(rule["resources"], rule["resourceNames"]) for rule in writing]


def test_nothing_grants_secrets_across_the_cluster(helm: Helm) -> None:
    """A cluster-wide right to Secrets is a right to every credential in the cluster."""
    release = helm('secretNamespaces=["vault"]')
    bound = {binding["roleRef"]["name"] for binding in release.all("ClusterRoleBinding")}
    reaching = [
        name
        for name in bound
        for rule in release.one("ClusterRole", name)["rules"]
        if "secrets" in rule["resources"]
    ]

    assert {"bulkhead-operator"} == bound
    assert [] == reaching


def test_secret_sources_are_read_by_name_only(helm: Helm) -> None:
    """`list` or `watch` would show every Secret of the namespace, also those that nobody referred to."""
    release = helm('secretNamespaces=["vault","keys"]')
    roles = [role for role in release.all("Role") if role["metadata"]["name"] == "bulkhead-secret-source"]

    assert ["keys", "vault"] == sorted(role["metadata"]["namespace"] for role in roles)
    assert [[{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]] * 2 == [
        role["rules"] for role in roles
    ]


@pytest.mark.parametrize("role", sorted(TENANT_RULES))
def test_the_operator_holds_what_it_grants_to_tenants(release: Rendered, role: str) -> None:
    """The API server refuses a Role whose rights its author lacks: the workspace would never be Ready."""
    held = _grants(release.one("ClusterRole", names.WORKSPACE_CLUSTER_ROLE)["rules"])
    granted = _grants([dict(rule) for rule in TENANT_RULES[role]])

    assert set() == granted - held


def test_the_operator_can_end_the_pods_of_others(release: Rendered) -> None:
    """Teardown deletes the controller of a foreign pod; without the right to, it would wait for ever."""
    held = _grants(release.one("ClusterRole", names.WORKSPACE_CLUSTER_ROLE)["rules"])
    deletable = {resource.removesuffix("s") for _, resource, verb in held if verb == "delete"}

    assert set() == {kind.lower() for kind in teardown._CONTROLLERS} - deletable


def test_the_workspace_role_is_never_bound_by_the_chart(release: Rendered) -> None:
    """It reads and writes Secrets: it belongs into workspace namespaces only."""
    bindings = release.all("ClusterRoleBinding") + release.all("RoleBinding")

    assert [] == [each for each in bindings if each["roleRef"]["name"] == names.WORKSPACE_CLUSTER_ROLE]


def test_managing_workspaces_is_never_inherited(release: Rendered) -> None:
    """Who creates a workspace makes a namespace and copies Secrets: `edit` elsewhere must not imply it."""
    aggregated = {
        role["metadata"]["name"]: sorted(
            key for key in role["metadata"]["labels"] if key.startswith("rbac.authorization.k8s.io/")
        )
        for role in release.all("ClusterRole")
    }

    assert {
        "bulkhead-manage": [],
        "bulkhead-operator": [],
        "bulkhead-view": ["rbac.authorization.k8s.io/aggregate-to-view"],
        "bulkhead-workspace": [],
    } == aggregated
    assert {"get", "list", "watch"} == {
        verb for rule in release.one("ClusterRole", "bulkhead-view")["rules"] for verb in rule["verbs"]
    }


def test_reading_is_aggregated_only_if_wanted(helm: Helm) -> None:
    """An administrator who keeps tenant names confidential must be able to switch it off."""
    labels = helm("rbac.aggregateView=false").one("ClusterRole", "bulkhead-view")["metadata"]["labels"]

    assert "rbac.authorization.k8s.io/aggregate-to-view" not in labels


def test_every_subject_is_the_operator(release: Rendered) -> None:
    """A binding to anybody else would give the operator's rights away at installation."""
    subjects = [
        subject
        for kind in ("ClusterRoleBinding", "RoleBinding")
        for binding in release.all(kind)
        for subject in binding["subjects"]
    ]

    assert [{"kind": "ServiceAccount", "name": "bulkhead-operator", "namespace": NAMESPACE}] * len(
        subjects
    ) == subjects
