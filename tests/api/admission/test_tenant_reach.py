"""How far a tenant's people get: everything in their namespace that is theirs, nothing anywhere else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from support.pod_edits import compliant
from support.tenant_spaces import Space, bound, furnish, refused, space

from bulkhead import names
from kubelive import Live, Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

Manifest = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
# Beside what a kind serves: verbs that RBAC knows and discovery does not list.
SPECIAL = {
    "users": ("impersonate",),
    "groups": ("impersonate",),
    "serviceaccounts": ("impersonate",),
    "roles": ("bind", "escalate"),
    "clusterroles": ("bind", "escalate"),
    "signers": ("approve", "sign", "attest"),
}
# Reviews of oneself: every authenticated user has them, and they say nothing of others.
SELF = {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"}


@dataclass(frozen=True, slots=True)
class Served:
    """A kind or subresource that this API server serves."""

    group: str
    resource: str  # with its subresource
    namespaced: bool
    verbs: tuple[str, ...]


@pytest.fixture(scope="module")
def here(glass: Live) -> Iterator[Space]:
    """The tenant's own workspace, with what the operator keeps in it."""
    with space(glass) as found:
        furnish(glass, found)
        yield found


@pytest.fixture(scope="module")
def there(glass: Live) -> Iterator[Space]:
    """A second tenant's."""
    with space(glass) as found:
        furnish(glass, found)
        yield found


@pytest.fixture(scope="module")
def served(live: Live) -> list[Served]:
    """What discovery lists: a kind that is new, or comes by a CRD, is asked about without a change here."""
    roots = [("", "/api/v1")]
    for group in live.call("GET", "/apis")["groups"]:
        roots += [(group["name"], f"/apis/{each['groupVersion']}") for each in group["versions"]]
    found = [
        Served(group, each["name"], each["namespaced"], tuple(each["verbs"]))
        for group, root in roots
        for each in live.call("GET", root)["resources"]
    ]
    extra = [Served("", name, namespaced=False, verbs=()) for name in ("users", "groups", "uids")]
    return [*found, *extra, Served("certificates.k8s.io", "signers", namespaced=False, verbs=())]


def allowed(person: Live, namespace: str, kind: Served, verb: str) -> bool:
    """What the API server would answer to that verb, by any name."""
    resource, _, subresource = kind.resource.partition("/")
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {
            "resourceAttributes": {
                "group": kind.group,
                "resource": resource,
                "subresource": subresource,
                "verb": verb,
                "namespace": namespace,
            }
        },
    }
    answer = person.call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


def granted(person: Live, namespace: str, kinds: list[Served]) -> set[str]:
    """`verb group/resource` for all that the person may do, of every kind and verb there is."""
    questions = {
        (kind, verb)
        for kind in kinds
        for verb in (*kind.verbs, "deletecollection", "*", *SPECIAL.get(kind.resource.partition("/")[0], ()))
    }
    asked = sorted(questions, key=lambda each: (each[0].group, each[0].resource, each[1]))
    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(lambda each: allowed(person, namespace, *each), asked)
        return {
            f"{verb} {kind.group}/{kind.resource}"
            for (kind, verb), answer in zip(asked, answers, strict=True)
            if answer
        }


def test_no_verb_on_any_kind_in_another_tenants_namespace(
    here: Space, there: Space, served: list[Served]
) -> None:
    """The boundary itself, for kinds that nobody has thought of yet as well."""
    kinds = [kind for kind in served if kind.namespaced]

    assert {kind.resource for kind in kinds} >= {"pods", "secrets", "pods/exec", "serviceaccounts/token"}
    assert set() == granted(here.lead, there.name, kinds)


@pytest.mark.parametrize("namespace", ["kube-system", "bulkhead-system", "default"])
def test_no_verb_on_any_kind_in_the_platforms_namespaces(
    here: Space, served: list[Served], namespace: str
) -> None:
    """The operator's namespace has the keys that sign every tenant's sessions."""
    assert set() == granted(here.lead, namespace, [kind for kind in served if kind.namespaced])


def test_no_verb_on_any_kind_of_the_whole_cluster(here: Space, served: list[Served]) -> None:
    """Nodes and their proxy, certificates, workspaces, classes, policies, impersonation."""
    kinds = [kind for kind in served if not kind.namespaced and kind.resource not in SELF]

    assert {kind.resource for kind in kinds} >= {"nodes/proxy", "certificatesigningrequests/approval"}
    assert set() == granted(here.lead, "", kinds)


READ = ("get", "list", "watch")
WRITE = ("create", "delete", "patch", "update")
VIEW = {
    f"{verb} {kind}"
    for verb in READ
    for kind in (
        "/events", "/limitranges", "/persistentvolumeclaims", "/pods", "/resourcequotas", "/services",
        "apps/deployments", "apps/replicasets", "apps/statefulsets", "batch/cronjobs", "batch/jobs",
        "events.k8s.io/events", "networking.k8s.io/networkpolicies",
    )
}  # fmt: skip
OPERATE = VIEW | {"delete /pods", "create /pods/eviction", "get /pods/log"}
ADMIN = (
    OPERATE
    | {
        f"{verb} {kind}"
        for verb in WRITE
        for kind in (
            "/configmaps", "/persistentvolumeclaims", "/pods", "/services",
            "apps/deployments", "apps/replicasets", "apps/statefulsets", "batch/cronjobs", "batch/jobs",
            "networking.k8s.io/networkpolicies", f"{RBAC}/rolebindings", f"{RBAC}/roles",
        )
    }
    | {f"{verb} {kind}" for verb in READ for kind in ("/configmaps", f"{RBAC}/rolebindings", f"{RBAC}/roles")}
    | {f"{verb} /pods/{door}" for verb in ("create", "get") for door in ("attach", "exec", "portforward")}
    | {
        f"{verb} apps/{kind}/scale"
        for verb in ("get", "patch", "update")
        for kind in ("deployments", "replicasets", "statefulsets")
    }
)  # fmt: skip
ROLES = {"view": VIEW, "operate": OPERATE, "admin": ADMIN}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_has_exactly_its_verbs(glass: Live, here: Space, served: list[Served], role: str) -> None:
    """In their own namespace: one verb more, and somebody reads a Secret, raises a quota or makes a token."""
    person = here.lead if role == "admin" else bound(glass, here.name, role)

    assert ROLES[role] == granted(person, here.name, [kind for kind in served if kind.namespaced])


def test_real_requests_into_another_tenants_namespace_are_refused(here: Space, there: Space) -> None:
    """A review is the API server's opinion; this is what it does."""
    core, apps = f"/api/v1/namespaces/{there.name}", f"/apis/apps/v1/namespaces/{there.name}"
    requests: list[tuple[str, str, object]] = [
        ("GET", f"{core}/pods", None),
        ("GET", f"{core}/secrets/session-keys", None),
        ("GET", f"/api/v1/namespaces/{there.name}", None),
        ("POST", f"{core}/pods", {**there.manifest("Pod", "x", spec=compliant())}),
        ("POST", f"{core}/pods/x/exec?command=sh", None),
        ("GET", f"{core}/services/gateway:8080/proxy/", None),
        ("DELETE", f"{core}/pods", None),
        ("GET", f"{core}/pods/x/log", None),
        ("POST", f"{core}/serviceaccounts/gateway/token", {"spec": {}}),
        ("GET", f"{apps}/deployments", None),
        ("GET", "/api/v1/pods", None),
        ("GET", "/api/v1/secrets", None),
        ("GET", "/api/v1/namespaces", None),
        ("GET", "/api/v1/nodes", None),
        ("GET", "/api/v1/nodes/any/proxy/pods", None),
        ("GET", "/apis/bulkhead.dev/v1alpha1/tenantworkspaces", None),
        ("GET", f"/apis/{RBAC}/v1/clusterroles", None),
        ("GET", "/metrics", None),
        ("GET", "/logs/", None),
    ]

    said = {path: refused(here.lead, method, path, body) for method, path, body in requests}

    assert [] == [path for path, message in said.items() if "cannot" not in message]


@pytest.mark.parametrize(
    ("kind", "plural", "change"),
    [
        ("ResourceQuota", "workspace", {"spec": {"hard": {"pods": "1000"}}}),
        ("LimitRange", "workspace", {"spec": {"limits": []}}),
        ("NetworkPolicy", "default-deny", {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
        ("Deployment", "gateway", {"spec": {"replicas": 0}}),
        ("Service", "gateway", {"spec": {"selector": {"app": "mine"}}}),
        ("RoleBinding", "tenant-admin", {"subjects": []}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_operator_keeps_does_not_change(
    here: Space, kind: str, plural: str, change: Manifest
) -> None:
    """Quota and limits by RBAC, the rest, which the tenant may make of its own, by admission."""
    path = Ref(kind, plural, here.name).path

    assert refused(here.lead, "PATCH", path, change)
    assert refused(here.lead, "DELETE", path)


def test_scale_of_what_the_operator_keeps_does_not_change(here: Space) -> None:
    """A subresource has no labels: it is known by its name."""
    path = Ref("Deployment", "gateway", here.name).path

    message = refused(here.lead, "PATCH", f"{path}/scale", {"spec": {"replicas": 0}})

    assert "bulkhead-managed-objects" in message


@pytest.mark.parametrize(
    ("subresource", "body"),
    [
        ("", {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
        ("", {"metadata": {"annotations": {names.ALLOWED_IMAGES_ANNOTATION: "evil.example/*"}}}),
        ("/status", {"status": {"phase": "Active"}}),
        ("/finalize", {"spec": {"finalizers": []}}),
    ],
    ids=["pod security", "images", "status", "finalize"],
)
def test_the_namespace_itself_does_not_change(here: Space, subresource: str, body: Manifest) -> None:
    """Every fence goes by its labels and annotations."""
    path = f"/api/v1/namespaces/{here.name}{subresource}"

    assert "cannot" in refused(here.lead, "PATCH", path, body)
    assert "cannot" in refused(here.lead, "PUT", path, {"metadata": {"name": here.name}, **body})
