"""Kubernetes and the operator go on behind every fence: real controllers, and all that is rendered.

The tests about one running workspace stand in the order of its life.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.admission import ADMITTED, Outcome, apply, at
from support.builders import context, full
from support.fenced import WORKSPACE, changed, contents, namespace, with_uid

from bulkhead.render import render
from kubelive import Live, Ref, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "bh-fences-0beef"
Manifest = dict[str, Any]


def test_everything_that_is_rendered_is_admitted(glass: Live, operator: Live, uid: str) -> None:
    """A fence that the operator's own manifests do not pass would stop every workspace."""
    spec = full()
    rendered = render(spec, context(spec))
    space, *others = (_moved(each, {spec.uid: uid, spec.name: WORKSPACE}) for each in rendered.manifests)
    operator.create(space)
    try:
        outcomes = {f"{body['kind']} {body['metadata']['name']}": _applied(operator, body) for body in others}
    finally:
        glass.delete(Ref("Namespace", space["metadata"]["name"]))

    assert dict.fromkeys(outcomes, ADMITTED) == outcomes
    assert {"RoleBinding bulkhead-operator", "Deployment gateway", "Deployment runtime"} <= outcomes.keys()


def _applied(live: Live, body: Manifest) -> Outcome:
    meta = body["metadata"]
    return apply(Ref(body["kind"], meta["name"], meta["namespace"]).path, body).by(live)


def _moved(value: Any, names: dict[str, str]) -> Any:
    match value:
        case dict():
            return {_moved(key, names): _moved(each, names) for key, each in value.items()}
        case list():
            return [_moved(each, names) for each in value]
        case str():
            for old, new in names.items():
                value = value.replace(old, new)
            return value
        case _:
            return value


@pytest.fixture(scope="module")
def running(glass: Live, operator: Live, uid: str) -> Iterator[str]:
    """A workspace made by the operator's identity: a gateway of two pods that wait at their gate."""
    operator.create(with_uid(namespace(NAME), uid))
    account = Ref("ServiceAccount", "default", NAME)
    wait_until("the default ServiceAccount", lambda: glass.find(account) is not None)
    for manifest in contents():
        if manifest["kind"] in {"ServiceAccount", "Service", "ResourceQuota", "Deployment"}:
            body = with_uid(changed(manifest, lambda each: each["metadata"].update(namespace=NAME)), uid)
            if body["kind"] == "Deployment":
                body["spec"]["replicas"] = 2
            operator.apply(body)
    yield NAME
    glass.delete(Ref("Namespace", NAME))


def test_deployments_make_pods_and_quota_counts_them(live: Live, running: str) -> None:
    """ReplicaSets and pods carry our labels, and the controllers that make them are not the operator."""

    def used() -> Any:
        return live.get(Ref("ResourceQuota", "workspace", running)).get("status", {}).get("used")

    wait_until("two pods counted", lambda: used() == {"pods": "2"}, timeout_seconds=30, describe=used)

    pods = live.items("Pod", running)
    assert [True, True] == ["bulkhead.dev/workspace-uid" in pod["metadata"]["labels"] for pod in pods]
    wait_until(
        "the Deployment's status",
        lambda: live.get(Ref("Deployment", "gateway", running)).get("status", {}).get("replicas") == 2,
        timeout_seconds=30,
    )


def test_a_deleted_pod_comes_back(live: Live, running: str) -> None:
    """Restart by deletion is the one change of ours that people may make."""
    wait_until("two pods", lambda: len(live.items("Pod", running)) == 2, timeout_seconds=30)
    gone = live.items("Pod", running)[0]["metadata"]
    Live(as_user="cluster-admin", as_groups=("system:masters",)).delete(Ref("Pod", gone["name"], running))

    def others() -> int:
        return sum(pod["metadata"]["uid"] != gone["uid"] for pod in live.items("Pod", running))

    wait_until("another pod", lambda: others() == 2, timeout_seconds=30)


def test_services_get_their_slices(live: Live, running: str) -> None:
    """EndpointSlices carry our labels: the controller copies them from the Service."""
    path = at("discovery.k8s.io/v1", "endpointslices", namespace=running)

    def served() -> list[str]:
        found = live.call("GET", path)["items"]
        return [each["metadata"]["labels"]["kubernetes.io/service-name"] for each in found]

    wait_until("an EndpointSlice", lambda: served() == ["gateway"], timeout_seconds=30)


def test_garbage_goes_with_its_owner(live: Live, operator: Live, running: str) -> None:
    """The collector deletes ReplicaSets and pods that carry our labels."""
    operator.delete(Ref("Deployment", "gateway", running))

    wait_until("pods gone", lambda: not live.items("Pod", running), timeout_seconds=30)


def test_a_namespace_is_emptied_and_goes(live: Live, operator: Live, running: str) -> None:
    """The namespace controller deletes what is ours, then finalizes."""
    operator.delete(Ref("Namespace", running))

    wait_until("namespace gone", lambda: live.find(Ref("Namespace", running)) is None, timeout_seconds=60)
