"""Rights: each by verb and resource, nothing by wildcard, no Secret anywhere but where it is meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkhead import names
from bulkhead.app.watches import WATCHED
from bulkhead.plan import teardown
from bulkhead.render import quota
from generate.rights import RIGHTS, rights_page

from .conftest import NAMESPACE, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Helm, Rendered

Grant = tuple[str, str, str]  # group, resource, verb
TENANT_ROLES = ("view", "operate", "admin")
OPERATOR_ROLES = ("bulkhead-operator", names.WORKSPACE_CLUSTER_ROLE)


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


BINDABLE = sorted([names.WORKSPACE_CLUSTER_ROLE, *map(names.tenant_cluster_role, TENANT_ROLES)])


def test_no_rule_lifts_its_holder(release: Rendered) -> None:
    """escalate, impersonate and a free bind make any role into cluster-admin."""
    lifting = [
        (who, verb)
        for who, rule in _rules(release)
        for verb in rule["verbs"]
        if verb in {"escalate", "impersonate", "bind"} and rule.get("resourceNames") != BINDABLE
    ]

    assert [] == lifting


def test_the_operator_binds_four_named_roles(release: Rendered) -> None:
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
        (["clusterroles"], BINDABLE),
    ] == [(rule["resources"], rule["resourceNames"]) for rule in writing]
    assert set(BINDABLE) <= {role["metadata"]["name"] for role in release.all("ClusterRole")}


def test_the_operator_has_nothing_that_only_tenants_need(release: Rendered) -> None:
    """Binding a role does not take having its rights: exec, logs and configs are not its business."""
    held = {
        resource
        for role in OPERATOR_ROLES
        for rule in release.one("ClusterRole", role)["rules"]
        for resource in rule["resources"]
    }
    foreign = {"configmaps", "cronjobs", "endpoints", "events", "leases", "roles"}

    assert set() == {each for each in held if each in foreign or each.startswith("pods/")}


def test_the_cluster_is_only_looked_at(release: Rendered) -> None:
    """A write to nodes, RuntimeClasses or StorageClasses would reach below every sandbox."""
    looking = [
        (resource, rule["verbs"])
        for rule in release.one("ClusterRole", "bulkhead-operator")["rules"]
        for resource in rule["resources"]
        if resource in {"nodes", "runtimeclasses", "storageclasses"}
    ]

    assert [
        ("nodes", ["list"]),
        ("runtimeclasses", ["list", "watch"]),
        ("storageclasses", ["list"]),
    ] == looking


def test_every_watch_is_allowed(release: Rendered) -> None:
    """A watch without its right is tried again for ever, and what it should see is never seen."""
    held = _grants(release.one("ClusterRole", "bulkhead-operator")["rules"])

    assert (
        set() == {(group, plural, verb) for group, _, plural in WATCHED for verb in ("list", "watch")} - held
    )


def test_no_right_is_granted_twice(release: Rendered) -> None:
    """A right that is held in two ways is still there when one of them is taken away."""
    everywhere, inside = (_grants(release.one("ClusterRole", role)["rules"]) for role in OPERATOR_ROLES)

    assert set() == everywhere & inside


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

    assert {"bulkhead-issuer", "bulkhead-operator"} == bound
    assert [] == reaching


def test_secret_sources_are_read_by_name_only(helm: Helm) -> None:
    """`list` or `watch` would show every Secret of the namespace, also those that nobody referred to."""
    release = helm('secretNamespaces=["vault","keys"]')
    roles = [role for role in release.all("Role") if role["metadata"]["name"] == "bulkhead-secret-source"]

    assert ["keys", "vault"] == sorted(role["metadata"]["namespace"] for role in roles)
    assert [[{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]] * 2 == [
        role["rules"] for role in roles
    ]


def test_the_operator_can_end_the_pods_of_others(release: Rendered) -> None:
    """Teardown deletes the controller of a foreign pod; without the right to, it would wait for ever.

    The quota lets some be made by nobody, so there is no right to end one.
    """
    held = _grants(release.one("ClusterRole", names.WORKSPACE_CLUSTER_ROLE)["rules"])
    deletable = {resource.removesuffix("s") for _, resource, verb in held if verb == "delete"}

    never_made = {
        name.removeprefix("count/").partition(".")[0].removesuffix("s")
        for name, amount in quota._FIXED.items()
        if amount == "0"
    }

    assert set() == {kind.lower() for kind in teardown._CONTROLLERS} - deletable - never_made


def test_roles_of_workspaces_are_never_bound_by_the_chart(release: Rendered) -> None:
    """They reach Secrets and pods: they belong into workspaces only, where the operator binds them."""
    bindings = release.all("ClusterRoleBinding") + release.all("RoleBinding")

    assert [] == [each for each in bindings if each["roleRef"]["name"] in BINDABLE]


def test_managing_workspaces_is_never_inherited(release: Rendered) -> None:
    """Who creates a workspace makes a namespace and copies Secrets: `edit` elsewhere must not imply it."""
    aggregated = {
        role["metadata"]["name"]: sorted(
            key for key in role["metadata"]["labels"] if key.startswith("rbac.authorization.k8s.io/")
        )
        for role in release.all("ClusterRole")
    }

    assert {
        "bulkhead-audit": [],
        "bulkhead-issue-tokens": [],
        "bulkhead-issuer": [],
        "bulkhead-manage": [],
        "bulkhead-operator": [],
        "bulkhead-tenant-admin": [],
        "bulkhead-tenant-operate": [],
        "bulkhead-tenant-view": [],
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


def test_every_role_is_bound_to_its_own_program(release: Rendered) -> None:
    """A binding to anybody else would give the operator's or the issuer's rights away at installation."""
    bound = {
        (binding["roleRef"]["name"], subject["kind"], subject.get("namespace"), subject["name"])
        for kind in ("ClusterRoleBinding", "RoleBinding")
        for binding in release.all(kind)
        for subject in binding["subjects"]
    }
    issuers = {each for each in bound if each[0].startswith("bulkhead-issuer")}

    assert {
        ("bulkhead-issuer", "ServiceAccount", NAMESPACE, "bulkhead-issuer"),
        ("bulkhead-issuer-ca", "Group", None, "system:authenticated"),
    } == issuers
    assert {("ServiceAccount", NAMESPACE, "bulkhead-operator")} == {each[1:] for each in bound - issuers}


def test_the_page_of_rights_has_every_rule(release: Rendered) -> None:
    """It is read instead of the templates, so it must not know less than the API server."""
    told = {
        (group, resource, verb)
        for line in (ROOT / RIGHTS).read_text().splitlines()
        if line.startswith("| ") and not line.startswith(("| API group", "| ---"))
        for groups, resources, _, verbs, _ in [line.strip("| ").replace("|  |", "| - |").split(" | ")]
        for group in groups.replace("core", "").replace("`", "").split(", ")
        for resource in resources.replace("`", "").split(", ")
        for verb in verbs.split(", ")
    }
    granted = {
        (group, resource, verb)
        for _, rule in _rules(release)
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }

    assert granted == told
    assert {RIGHTS: (ROOT / RIGHTS).read_text()} == rights_page()
