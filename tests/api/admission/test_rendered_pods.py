"""What the operator really renders passes the fences, in each level: they bound it, and must not stop it."""

from __future__ import annotations

import copy
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import BASELINE, SANDBOXED, USER_NAMESPACE, context, full
from support.pod_edits import compliant
from support.tenant_spaces import refusal_of

from bulkhead import names
from bulkhead.render import render
from kubelive import Live, Ref, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkhead.render import Rendered

Manifest = dict[str, Any]


@pytest.fixture(
    scope="module", params=[BASELINE, USER_NAMESPACE, SANDBOXED], ids=lambda each: str(each.level)
)
def rendered(glass: Live, request: pytest.FixtureRequest) -> Iterator[Rendered]:
    """A workspace that uses every field, with its namespace and accounts in place."""
    spec = replace(
        full(), name=f"fences-{uuid.uuid4().hex[:8]}", uid=str(uuid.uuid4()), isolation=request.param
    )
    found = render(spec, context(spec))
    (space,) = (each for each in found.manifests if each["kind"] == "Namespace")
    # No workspace of this UID exists: the garbage collector would end the namespace.
    glass.create({**space, "metadata": {**space["metadata"], "ownerReferences": []}})
    name = str(space["metadata"]["name"])
    overhead = {"podFixed": {"cpu": "10m"}}
    sandbox = {"metadata": {"name": "gvisor"}, "handler": "runsc", "overhead": overhead}
    made = glass.find(Ref("RuntimeClass", "gvisor")) is None
    if made:
        glass.create({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", **sandbox})
    for each in found.manifests:
        if each["kind"] in {"ServiceAccount", "LimitRange"}:
            glass.create(each)
    wait_until("the default account", lambda: glass.find(Ref("ServiceAccount", "default", name)) is not None)
    yield found
    glass.delete(Ref("Namespace", name))
    if made:
        glass.delete(Ref("RuntimeClass", "gvisor"))


def deployments(rendered: Rendered) -> dict[str, Manifest]:
    """The workloads by name."""
    return {each["metadata"]["name"]: each for each in rendered.manifests if each["kind"] == "Deployment"}


def test_every_deployment_and_each_of_its_pods_goes_in(
    rendered: Rendered, operator: Live, controller: Live
) -> None:
    """A workspace that its own fences keep from starting."""
    assert {"gateway", "egress", "runtime", "tool-search", "tool-shell"} == set(deployments(rendered))
    for manifest in deployments(rendered).values():
        assert (201, "") == refusal_of(operator, manifest)
        assert (201, "") == refusal_of(controller, _pod(manifest))


def test_the_fences_change_nothing_of_a_rendered_pod(rendered: Rendered, controller: Live) -> None:
    """What the API server adds to our pods would be drift, or a second guard."""
    for manifest in deployments(rendered).values():
        wanted = _pod(manifest)

        made = controller.create(wanted, dry_run=True)

        for field in ("initContainers", "runtimeClassName", "hostUsers", "dnsPolicy", "nodeSelector"):
            given = wanted["spec"].get(field)
            assert _names(given) == _names(made["spec"].get(field))


def test_a_tenants_pod_with_our_labels_is_no_pod_of_ours(rendered: Rendered, admin: Live) -> None:
    """The labels alone open nothing: an administrator's copy of the gateway's pod is judged as a tenant's."""
    status, _ = refusal_of(admin, _pod(deployments(rendered)["gateway"]))

    assert 403 == status


@pytest.mark.parametrize("component", ["runtime", "tool-shell"])
def test_a_pod_of_ours_without_its_guard_is_refused(
    rendered: Rendered, controller: Live, component: str
) -> None:
    """An operator that was taken over could leave it out."""
    bare = _pod(deployments(rendered)[component])
    del bare["spec"]["initContainers"]

    status, message = refusal_of(controller, bare)

    assert (403, True) == (status, "spec.initContainers[0]: must be the guard" in message)


def test_a_tenants_own_pod_goes_where_the_workspaces_pods_go(rendered: Rendered, glass: Live) -> None:
    """The class says which nodes: a tenant's pod elsewhere would run beside other tenants."""
    runtime = deployments(rendered)["runtime"]
    wanted = runtime["spec"]["template"]["spec"]
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "theirs", "namespace": runtime["metadata"]["namespace"]},
        "spec": compliant(),
    }

    made = glass.create(manifest, dry_run=True)["spec"]

    for field in ("nodeSelector", "runtimeClassName", "hostUsers"):
        assert wanted.get(field) == made.get(field)
    added = [
        each for each in made["tolerations"] if not each.get("key", "").startswith("node.kubernetes.io/")
    ]
    assert wanted.get("tolerations", []) == added
    guards = [
        {key: each["initContainers"][0][key] for key in ("name", "image", "args", "env")}
        for each in (wanted, made)
    ]
    assert guards[0] == guards[1]


def _pod(manifest: Manifest) -> Manifest:
    """The pod that the ReplicaSet controller makes of it."""
    template = manifest["spec"]["template"]
    name, namespace = manifest["metadata"]["name"], manifest["metadata"]["namespace"]
    labels = {**template["metadata"]["labels"], "pod-template-hash": "6f"}
    meta = {"name": f"{name}-6f-0", "namespace": namespace, "labels": labels}
    assert names.MANAGED_BY == labels[names.MANAGED_BY_LABEL]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": copy.deepcopy(template["spec"])}


def _names(value: Any) -> Any:
    return [each["name"] for each in value] if isinstance(value, list) else value
