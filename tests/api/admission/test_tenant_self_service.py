"""What a tenant's people may do for themselves, and that none of it can be turned into more."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.pod_edits import compliant
from support.tenant_spaces import Space, bound, furnish, refusal_of, refused, space

from bulkhead import names
from kubelive import Live, Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

Manifest = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def here(glass: Live) -> Iterator[Space]:
    """The tenant's workspace, with what the operator keeps in it."""
    with space(glass) as found:
        furnish(glass, found)
        yield found


RULES: list[tuple[str, Manifest]] = [
    ("secrets", {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}),
    ("everything", {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}),
    ("quota", {"apiGroups": [""], "resources": ["resourcequotas"], "verbs": ["update"]}),
    ("tokens", {"apiGroups": [""], "resources": ["serviceaccounts/token"], "verbs": ["create"]}),
    (
        "ephemeral containers",
        {"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["update"]},
    ),
    ("impersonation", {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["impersonate"]}),
    ("escalation", {"apiGroups": [RBAC], "resources": ["roles"], "verbs": ["escalate"]}),
    ("binding", {"apiGroups": [RBAC], "resources": ["clusterroles"], "verbs": ["bind"]}),
    ("daemon sets", {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["create"]}),
]


@pytest.mark.parametrize("rule", [case[1] for case in RULES], ids=[case[0] for case in RULES])
def test_no_role_grants_what_its_maker_lacks(here: Space, rule: Manifest) -> None:
    """Else an admin would be one Role away from everything in the namespace."""
    message = refused(here.lead, "POST", f"/apis/{RBAC}/v1/namespaces/{here.name}/roles",
                      here.manifest("Role", "mine", rules=[rule]))  # fmt: skip

    assert "is attempting to grant RBAC permissions not currently held" in message


@pytest.mark.parametrize(
    "role", ["cluster-admin", "admin", "edit", names.WORKSPACE_CLUSTER_ROLE, "bulkhead-operator"]
)
def test_no_role_is_bound_that_its_binder_lacks(here: Space, role: str) -> None:
    """The operator's own role in a workspace reads its Secrets."""
    message = refused(here.lead, "POST", f"/apis/{RBAC}/v1/namespaces/{here.name}/rolebindings",
                      binding(here, "mine", "ClusterRole", role))  # fmt: skip

    assert "is attempting to grant RBAC permissions not currently held" in message


def binding(where: Space, name: str, kind: str, role: str) -> Manifest:
    """A RoleBinding of the tenant's, for a colleague."""
    return where.manifest(
        "RoleBinding",
        name,
        roleRef={"apiGroup": RBAC, "kind": kind, "name": role},
        subjects=[{"apiGroup": RBAC, "kind": "User", "name": "colleague@example.com"}],
    )


def test_nobody_else_is_spoken_for(here: Space) -> None:
    """Impersonation, tokens of the workspace's accounts, certificates: three ways to be somebody else."""
    review = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    spoken = f"/api/v1/namespaces/{here.name}/serviceaccounts/gateway"
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}

    assert "cannot create" in refused(here.lead, "POST", f"{spoken}/token", request)
    for kind, name in (("users", "admin"), ("groups", "system:masters"), ("serviceaccounts", "gateway")):
        attributes = {"resource": kind, "verb": "impersonate", "name": name, "namespace": here.name}
        answer = here.lead.call(
            "POST",
            review,
            {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SelfSubjectAccessReview",
                "spec": {"resourceAttributes": attributes},
            },
        )
        assert not answer["status"]["allowed"]
    certificates = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    named = {"metadata": {"name": "any"}}
    assert "cannot" in refused(
        here.lead, "PUT", f"{certificates}/any/approval", {"metadata": {"name": "any"}}
    )
    assert "cannot" in refused(here.lead, "POST", certificates, {**named, "spec": {}})


def _mine(where: Space) -> list[tuple[Manifest, Manifest]]:
    """What an admin makes, and a change to it."""
    template = {"metadata": {"labels": {"app": "mine"}}, "spec": compliant()}
    idle = {"replicas": 0, "template": template}
    never = {**template, "spec": {**compliant(), "restartPolicy": "Never"}}
    selector = {"selector": {"matchLabels": {"app": "mine"}}}
    make = functools.partial(where.manifest, name="mine")
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    labelled = {"metadata": {"labels": {"team": "a"}}}
    narrow = {"podSelector": {"matchLabels": {"app": "mine"}}, "policyTypes": ["Ingress"]}
    return [
        (make("ConfigMap", data={"a": "b"}), {"data": {"a": "c"}}),
        (make("Service", spec={"ports": [{"port": 80}], "selector": {"app": "mine"}}), labelled),
        (
            make(
                "PersistentVolumeClaim",
                spec={"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            ),
            labelled,
        ),
        (make("Role", rules=rules), {"rules": []}),
        (binding(where, "mine", "Role", "mine"), {"subjects": []}),
        (binding(where, "colleagues", "ClusterRole", "bulkhead-tenant-view"), {"subjects": []}),
        (make("NetworkPolicy", spec=narrow), {"spec": {"ingress": []}}),
        (
            make("Deployment", spec={**selector, **idle}),
            {"spec": {"replicas": 1}},
        ),
        (make("ReplicaSet", spec={**selector, **idle}), labelled),
        (
            make("StatefulSet", spec={**selector, "serviceName": "mine", **idle}),
            labelled,
        ),
        (
            make("Job", spec={"suspend": True, "template": never}),
            {"spec": {"parallelism": 1}},
        ),
        (
            make(
                "CronJob",
                spec={"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": {"template": never}}},
            ),
            {"spec": {"schedule": "1 1 1 1 *"}},
        ),
        (make("Pod", spec=compliant()), labelled),
    ]


def test_an_admin_makes_changes_and_deletes_things_of_its_own(here: Space) -> None:
    """Self-service: what it may not do without the operator, it would not use Bulkhead for."""
    for manifest, change in _mine(here):
        ref = Ref(manifest["kind"], manifest["metadata"]["name"], here.name)
        here.lead.create(manifest)
        here.lead.call("PATCH", ref.path, change, content_type=MERGE)
        assert ref.name == here.lead.get(ref)["metadata"]["name"]
    scale = Ref("Deployment", "mine", here.name).path + "/scale"
    scaled = here.lead.call("PATCH", scale, {"spec": {"replicas": 2}}, content_type=MERGE)
    assert 2 == scaled["spec"]["replicas"]
    for manifest, _ in _mine(here):
        here.lead.delete(Ref(manifest["kind"], manifest["metadata"]["name"], here.name), missing_ok=False)


def test_the_pod_that_the_docs_show_goes_in(here: Space) -> None:
    """People paste what they see."""
    page = (Path(__file__).parents[3] / "docs/security/tenants.md").read_text(encoding="utf-8")
    shown = yaml.safe_load(page.split("A pod that passes:\n\n```\n")[1].split("```")[0])

    assert (201, "") == refusal_of(here.lead, {**shown, "metadata": {"name": "x", "namespace": here.name}})


def test_an_operating_person_restarts_pods_and_changes_nothing(glass: Live, here: Space) -> None:
    """Deleting a pod is a restart, of gateways as well; everything else stays as it is."""
    person = bound(glass, here.name, "operate")
    here.lead.create(here.manifest("Pod", "restarted", spec=compliant()))

    person.delete(Ref("Pod", "restarted", here.name), missing_ok=False)

    assert "cannot" in refused(person, "PATCH", Ref("Deployment", "gateway", here.name).path, {})
    assert "cannot" in refused(person, "GET", f"/api/v1/namespaces/{here.name}/secrets")
    assert "cannot" in refused(person, "POST", f"/api/v1/namespaces/{here.name}/pods/x/exec?command=sh")
