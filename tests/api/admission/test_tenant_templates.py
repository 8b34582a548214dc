"""Templates of pods: refused where they are written, not minutes later in an Event of some controller."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from support.pod_cases import ALLOWED, REFUSED, Refused
from support.pod_edits import compliant
from support.tenant_spaces import LEVELS, Space, forbidden, refusal_of, runtime_classes, space

from kubelive import ApiRefusal, Live, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.pod_cases import Allowed

Manifest = dict[str, Any]
LABELS = {"app": "case"}
SELECTOR = {"selector": {"matchLabels": LABELS}}
AT = {"CronJob": "spec.jobTemplate.spec.template.spec", "PodTemplate": "template.spec"}
# A tenant's admin may make these; the others are for whoever else has a right to them.
TENANT_KINDS = ("Deployment", "Job", "CronJob", "ReplicaSet", "StatefulSet")
OTHER_KINDS = ("DaemonSet", "PodTemplate", "ReplicationController")
TABLE_KINDS = ("Deployment", "Job", "CronJob")


@pytest.fixture(scope="module")
def spaces(glass: Live) -> Iterator[dict[str, Space]]:
    """A namespace a level, as the operator makes it."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(runtime_classes(glass))
        yield {level: stack.enter_context(space(glass, level)) for level in LEVELS}


def around(where: Space, kind: str, spec: Manifest, **metadata: Any) -> Manifest:
    """An object of that kind whose template is this pod."""
    template: Manifest = {"metadata": {"labels": LABELS} | metadata, "spec": spec}
    never: Manifest = {**template, "spec": {**spec, "restartPolicy": "Never"}}
    bodies: dict[str, Manifest] = {
        "Job": {"spec": {"template": never}},
        "CronJob": {"spec": {"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": never}}}},
        "PodTemplate": {"template": template},
        "ReplicationController": {"spec": {"selector": LABELS, "template": template}},
        "StatefulSet": {"spec": {**SELECTOR, "serviceName": "case", "template": template}},
    }
    return where.manifest(kind, "case", **bodies.get(kind, {"spec": {**SELECTOR, "template": template}}))


def maker(where: Space, kind: str, admin: Live) -> Live:
    """The tenant's admin, or the cluster's for what the tenant's may not make at all."""
    return where.lead if kind in TENANT_KINDS else admin


@pytest.mark.parametrize("kind", [*TENANT_KINDS, *OTHER_KINDS])
def test_the_compliant_template_goes_in(spaces: dict[str, Space], admin: Live, kind: str) -> None:
    """It has no guard, no runtime class and no user namespace: these come when the pod is made."""
    for where in spaces.values():
        assert (201, "") == refusal_of(maker(where, kind, admin), around(where, kind, compliant()))


@pytest.mark.parametrize("case", ALLOWED, ids=lambda case: case.name)
def test_what_harms_nobody_goes_in(spaces: dict[str, Space], case: Allowed) -> None:
    """A template that is refused where its pod would not be misleads."""
    where, spec = spaces[case.level], compliant()
    case.edit(spec)

    assert (201, "") == refusal_of(where.lead, around(where, "Deployment", spec))


@pytest.mark.parametrize("kind", TABLE_KINDS)
@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_one_change_is_refused(spaces: dict[str, Space], case: Refused, kind: str) -> None:
    """Pod Security only warns about templates: whatever refuses here is ours."""
    where, spec = spaces[case.level], compliant()
    if case.level == "UserNamespace" and case.name == "proc unmasked":
        spec["hostUsers"] = (
            False  # the API server wants to hear it from a template: nothing fills it in there
        )
    case.edit(spec)

    message = forbidden(where.lead, around(where, kind, spec))

    assert "ValidatingAdmissionPolicy 'bulkhead-tenant-pods'" in message
    assert f"denied request: {AT.get(kind, 'spec.template.spec')}.{case.field}: " in message


@pytest.mark.parametrize("kind", [*TENANT_KINDS, *OTHER_KINDS])
def test_no_kind_of_template_is_forgotten(spaces: dict[str, Space], admin: Live, kind: str) -> None:
    """One kind without rules is a way around those of all others."""
    where = spaces["Baseline"]

    message = forbidden(maker(where, kind, admin), around(where, kind, compliant() | {"hostPID": True}))

    assert f"{AT.get(kind, 'spec.template.spec')}.hostPID: must not be true" in message


def test_the_operator_is_held_to_the_rules_too(spaces: dict[str, Space], operator: Live) -> None:
    """An operator that was taken over must not get onto the nodes by the workspaces that it serves."""
    where = spaces["Baseline"]
    manifest = around(where, "Deployment", compliant(), labels={**LABELS, **where.labels})
    manifest["metadata"]["labels"] = where.labels

    assert (201, "") == refusal_of(operator, manifest)

    manifest["spec"]["template"]["spec"]["hostPID"] = True
    message = forbidden(operator, manifest)

    assert "spec.template.spec.hostPID: must not be true" in message


@pytest.mark.parametrize("kind", TABLE_KINDS)
def test_annotations_that_the_node_obeys_are_refused(spaces: dict[str, Space], kind: str) -> None:
    """A controller copies the template's annotations onto every pod."""
    where = spaces["Baseline"]
    annotations = {"k8s.v1.cni.cncf.io/networks": "host"}

    message = forbidden(where.lead, around(where, kind, compliant(), annotations=annotations))

    assert "must not have k8s.v1.cni.cncf.io/networks" in message


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_the_tenants_admin_may_not_make_this_kind(spaces: dict[str, Space], kind: str) -> None:
    """A DaemonSet puts a pod on every node, whatever the class's node selector says."""
    where = spaces["Baseline"]

    message = forbidden(where.lead, around(where, kind, compliant()))

    assert "cannot create resource" in message


def test_a_template_cannot_change_later(spaces: dict[str, Space]) -> None:
    """An update is as good as a new object."""
    where = spaces["Baseline"]
    where.lead.create(around(where, "Deployment", compliant()))
    path = f"/apis/apps/v1/namespaces/{where.name}/deployments/case"
    change = [{"op": "add", "path": "/spec/template/spec/hostNetwork", "value": True}]

    with pytest.raises(ApiRefusal) as refused:
        where.lead.call("PATCH", path, change, content_type="application/json-patch+json")

    assert (403, True) == (refused.value.status, "spec.template.spec.hostNetwork" in refused.value.message)


def test_what_controllers_make_of_a_template_is_guarded(spaces: dict[str, Space], glass: Live) -> None:
    """Pods of a Deployment are made by Kubernetes' own controller: who asks must make no difference."""
    where = spaces["Sandboxed"]
    manifest = around(where, "Deployment", compliant())
    manifest["metadata"]["name"] = "guarded"
    where.lead.create(manifest)

    found = wait_until("its pod", lambda: glass.items("Pod", where.name) or None, timeout_seconds=20)

    assert ["guard"] == [container["name"] for container in found[0]["spec"]["initContainers"]]
    assert "fences-sandbox" == found[0]["spec"]["runtimeClassName"]
