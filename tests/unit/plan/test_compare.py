"""The difference between desired and live, on what a real API server answered."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import context, full
from support.recorded import recorded

from bulkhead import names
from bulkhead.plan.compare import (
    Difference,
    compare,
    is_edited,
    needs_recreation,
    replacement,
    settled,
)
from bulkhead.render import ObjectKey, render
from bulkhead.render.rendered import key_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkhead.render import Manifest

PAIRS = {key_of(sent): (sent, answered) for sent, answered in recorded()}
DEPLOYMENT = ObjectKey("Deployment", "tool-search")
SPACE = next(key for key in PAIRS if key.kind == "Namespace")


def _pair(kind: str, name: str) -> tuple[Manifest, Manifest]:
    return copy.deepcopy(PAIRS[ObjectKey(kind, name)])


@pytest.mark.parametrize("key", list(PAIRS), ids=str)
def test_what_a_real_server_answers_is_no_difference(key: ObjectKey) -> None:
    """An unknown default is a write for ever."""
    sent, answered = PAIRS[key]

    assert compare(sent, answered) is Difference.NONE


def test_the_recordings_cover_everything_that_render_writes() -> None:
    """A field that is rendered but was never recorded may have a default that nobody has seen."""
    spec = full()
    recorded_fields = {(each["kind"], path) for each, _ in PAIRS.values() for path in _paths(each)}

    fields = {(each["kind"], path) for each in render(spec, context(spec)).manifests for path in _paths(each)}

    assert fields - recorded_fields == set(), "run tests/api/test_children.py --update-golden"


def _paths(node: Any, path: str = "") -> set[str]:
    if isinstance(node, dict):
        return {path}.union(*(_paths(value, f"{path}.{key}") for key, value in node.items()))
    if isinstance(node, list):
        return {path}.union(*(_paths(value, f"{path}[]") for value in node))
    return {path}


def _pod(live: Manifest) -> Manifest:
    pod: Manifest = live["spec"]["template"]["spec"]
    return pod


FOREIGN: list[tuple[str, ObjectKey, Callable[[Manifest], object]]] = [
    ("hostNetwork", DEPLOYMENT, lambda live: _pod(live).update(hostNetwork=True)),
    ("container", DEPLOYMENT, lambda live: _pod(live)["containers"].append({"name": "spy", "image": "x"})),
    ("volume", DEPLOYMENT,
     lambda live: _pod(live)["volumes"].append({"name": "h", "hostPath": {"path": "/"}})),
    ("mount", DEPLOYMENT,
     lambda live: _pod(live)["containers"][0]["volumeMounts"].append({"name": "h", "mountPath": "/h"})),
    ("env", DEPLOYMENT, lambda live: _pod(live)["containers"][0]["env"].append({"name": "X", "value": "1"})),
    ("before the guard", DEPLOYMENT, lambda live: _pod(live)["initContainers"].insert(0, {"name": "spy"})),
    ("after the guard", DEPLOYMENT, lambda live: _pod(live)["initContainers"].append({"name": "spy"})),
    ("guard made a sidecar", DEPLOYMENT,
     lambda live: _pod(live)["initContainers"][0].update(restartPolicy="Always")),
    ("guard's command", DEPLOYMENT, lambda live: _pod(live)["initContainers"][0].update(command=["true"])),
    ("toleration", DEPLOYMENT, lambda live: _pod(live)["tolerations"].append({"operator": "Exists"})),
    ("toleration's time", DEPLOYMENT, lambda live: _pod(live)["tolerations"][0].update(tolerationSeconds=1)),
    ("node label", DEPLOYMENT, lambda live: _pod(live)["nodeSelector"].update(zone="a")),
    ("host users", DEPLOYMENT, lambda live: _pod(live).update(hostUsers=True)),
    ("a door's runtime class", ObjectKey("Deployment", "gateway"),
     lambda live: _pod(live).update(runtimeClassName="other")),
    ("guard's arrow", ObjectKey("NetworkPolicy", "guard"),
     lambda live: live["spec"].update(ingress=[{}])),
    ("pod label", DEPLOYMENT, lambda live: live["spec"]["template"]["metadata"]["labels"].update(x="y")),
    ("postStart", DEPLOYMENT, lambda live: _pod(live)["containers"][0].update(lifecycle={"postStart": {}})),
    ("scheduler", DEPLOYMENT, lambda live: _pod(live).update(schedulerName="mine")),
    ("account alias", DEPLOYMENT, lambda live: _pod(live).update(serviceAccount="default")),
    ("allow-all ingress", ObjectKey("NetworkPolicy", "default-deny"),
     lambda live: live["spec"].update(ingress=[{}])),
    ("second rule", ObjectKey("NetworkPolicy", "gateway"), lambda live: live["spec"]["ingress"].append({})),
    ("quota key", ObjectKey("ResourceQuota", "workspace"), lambda live: live["spec"]["hard"].update(x="1")),
    ("quota scope", ObjectKey("ResourceQuota", "workspace"),
     lambda live: live["spec"].update(scopes=["BestEffort"])),
    ("subject", ObjectKey("RoleBinding", "tenant-view"),
     lambda live: live["subjects"].append({"kind": "User"})),
    ("secret key", ObjectKey("Secret", "session-keys"), lambda live: live["data"].update(x="eA==")),
    ("external address", ObjectKey("Service", "gateway"),
     lambda live: live["spec"].update(externalIPs=["203.0.113.7"])),
]  # fmt: skip


@pytest.mark.parametrize(("key", "edit"), [case[1:] for case in FOREIGN], ids=[case[0] for case in FOREIGN])
def test_what_somebody_added_is_foreign(key: ObjectKey, edit: Callable[[Manifest], object]) -> None:
    """A forced apply would leave it: only a replace takes it away."""
    sent, live = copy.deepcopy(PAIRS[key])
    edit(live)

    assert compare(sent, live) is Difference.FOREIGN
    assert is_edited(sent, live)


OURS: list[tuple[str, ObjectKey, Callable[[Manifest], object]]] = [
    ("image", DEPLOYMENT, lambda live: _pod(live)["containers"][0].update(image="evil:1")),
    ("replicas", DEPLOYMENT, lambda live: live["spec"].update(replicas=9)),
    ("guard gone", DEPLOYMENT, lambda live: _pod(live).pop("initContainers")),
    ("guard's image", DEPLOYMENT, lambda live: _pod(live)["initContainers"][0].update(image="evil:1")),
    ("runtime class gone", DEPLOYMENT, lambda live: _pod(live).pop("runtimeClassName")),
    ("another toleration", DEPLOYMENT,
     lambda live: _pod(live)["tolerations"].__setitem__(1, {"key": "spot", "operator": "Equal"})),
    ("isolation level", SPACE, lambda live: live["metadata"]["labels"].update(
        {names.ISOLATION_LABEL: "Baseline"})),
    ("allowed images", SPACE, lambda live: live["metadata"]["annotations"].update(
        {names.ALLOWED_IMAGES_ANNOTATION: "evil:1"})),
    ("container gone", DEPLOYMENT, lambda live: _pod(live).update(containers=[])),
    ("policy type gone", ObjectKey("NetworkPolicy", "runtime"),
     lambda live: live["spec"].update(policyTypes=["Ingress"])),
    ("rule gone", ObjectKey("NetworkPolicy", "runtime"), lambda live: live["spec"].pop("ingress")),
    ("quota", ObjectKey("ResourceQuota", "workspace"), lambda live: live["spec"]["hard"].update(pods="1000")),
    ("our label gone", ObjectKey("Secret", "session-keys"), lambda live: live["metadata"].update(labels={})),
    ("automount", ObjectKey("ServiceAccount", "runtime"),
     lambda live: live.update(automountServiceAccountToken=True)),
]  # fmt: skip


@pytest.mark.parametrize(("key", "edit"), [case[1:] for case in OURS], ids=[case[0] for case in OURS])
def test_what_somebody_changed_or_took_is_ours_to_mend(
    key: ObjectKey, edit: Callable[[Manifest], object]
) -> None:
    """An apply brings it back and leaves what others may add alone."""
    sent, live = copy.deepcopy(PAIRS[key])
    edit(live)

    assert compare(sent, live) is Difference.OURS


HARMLESS: list[tuple[str, ObjectKey, Callable[[Manifest], object]]] = [
    ("a note", DEPLOYMENT, lambda live: live["metadata"]["annotations"].update(note="x")),
    ("revision", DEPLOYMENT,
     lambda live: live["metadata"]["annotations"].update({"deployment.kubernetes.io/revision": "3"})),
    ("rollout restart", DEPLOYMENT,
     lambda live: live["spec"]["template"]["metadata"]["annotations"].update(
         {"kubectl.kubernetes.io/restartedAt": "2026-11-01T00:00:00Z"})),
    ("quantity spelled otherwise", ObjectKey("ResourceQuota", "workspace"),
     lambda live: live["spec"]["hard"].update({"limits.cpu": "3000m"})),
    ("a namespace label", ObjectKey("Namespace", render(full(), context(full())).namespace),
     lambda live: live["metadata"]["labels"].update(team="x")),
    ("pull secret of an account", ObjectKey("ServiceAccount", "runtime"),
     lambda live: live.update(imagePullSecrets=[{"name": "regcred"}])),
    ("bound claim", ObjectKey("PersistentVolumeClaim", "runtime-data"),
     lambda live: live["spec"].update(volumeName="pv-1", storageClassName="standard")),
]  # fmt: skip


@pytest.mark.parametrize(("key", "edit"), [case[1:] for case in HARMLESS], ids=[case[0] for case in HARMLESS])
def test_what_others_may_write_is_no_difference(key: ObjectKey, edit: Callable[[Manifest], object]) -> None:
    """Fighting a controller, or an administrator's restart, would never end."""
    key = key if key in PAIRS else next(each for each in PAIRS if each.kind == "Namespace")
    sent, live = copy.deepcopy(PAIRS[key])
    edit(live)

    assert compare(sent, live) is Difference.NONE


def test_a_new_spec_is_no_drift() -> None:
    """The Event would blame somebody for the user's own edit."""
    sent, live = _pair("ResourceQuota", "workspace")
    sent["metadata"]["annotations"][names.SPEC_HASH_ANNOTATION] = "another"

    assert compare(sent, live) is Difference.OURS
    assert not is_edited(sent, live)


def test_a_stripped_hash_is_drift() -> None:
    """Removing our mark must not hide the edit beside it."""
    sent, live = _pair("ResourceQuota", "workspace")
    live["metadata"]["annotations"] = {}

    assert is_edited(sent, live)


def test_a_claim_grows_and_never_shrinks() -> None:
    """The API server refuses to shrink: the apply would fail on every round."""
    sent, live = _pair("PersistentVolumeClaim", "runtime-data")
    live["spec"]["resources"]["requests"]["storage"] = "9Gi"
    smaller = settled(sent, live)
    live["spec"]["resources"]["requests"]["storage"] = "1Gi"
    larger = settled(sent, live)

    assert smaller["spec"]["resources"]["requests"]["storage"] == "9Gi"
    assert larger["spec"]["resources"]["requests"]["storage"] == "2Gi"
    assert compare(larger, live) is Difference.OURS


def test_a_claim_keeps_its_storage_class() -> None:
    """It cannot be changed: an edited class would fail every workspace's apply for ever."""
    sent, live = _pair("PersistentVolumeClaim", "runtime-data")
    wanted = {**sent, "spec": {**sent["spec"], "storageClassName": "fast"}}
    live["spec"]["storageClassName"] = "slow"

    assert compare(settled(wanted, live), live) is Difference.NONE
    assert settled(sent, live)["spec"] == sent["spec"]


def test_a_replacement_is_bound_to_what_was_read() -> None:
    """Without UID and version a PUT could undo a newer write, or hit another object of that name."""
    sent, live = _pair("Service", "gateway")
    live["metadata"] |= {"finalizers": ["example.com/hold"], "labels": {"theirs": "1"}}

    made = replacement(sent, live)

    assert made["metadata"]["uid"] == live["metadata"]["uid"]
    assert made["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
    assert made["metadata"]["finalizers"] == ["example.com/hold"]
    assert made["metadata"]["labels"] == {"theirs": "1", **sent["metadata"]["labels"]}
    assert made["spec"]["clusterIP"] == live["spec"]["clusterIP"]
    assert "clusterIP" not in sent["spec"]


@pytest.mark.parametrize(
    ("kind", "name", "edit"),
    [
        ("Deployment", "gateway", lambda live: live["spec"].update(selector={"matchLabels": {"a": "b"}})),
        ("RoleBinding", "tenant-view", lambda live: live["roleRef"].update(name="admin")),
        ("Secret", "session-keys", lambda live: live.update(immutable=True)),
        ("Secret", "session-keys", lambda live: live.update(type="example.com/other")),
        ("Service", "gateway", lambda live: live["spec"].update(clusterIP="None")),
    ],
    ids=["selector", "roleRef", "immutable", "type", "headless"],
)
def test_immutable_fields_need_a_new_object(kind: str, name: str, edit: Callable[[Manifest], object]) -> None:
    """The API server refuses the write: retrying it would never end."""
    sent, live = _pair(kind, name)
    untouched = needs_recreation(sent, live)
    edit(live)

    assert not untouched
    assert needs_recreation(sent, live)
