"""What a real API server makes of rendered objects: accepts, stores, and takes back after an edit."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import CLUSTER, CREATED, context, full
from support.recorded import record

from bulkhead.plan.actions import Apply, Plan, Replace
from bulkhead.plan.observed import Observed
from bulkhead.plan.planner import plan
from bulkhead.render import ObjectKey, render
from bulkhead.render.rendered import key_of
from kubelive import ApiRefusal, Live, Ref, wait_until
from kubelive.workspaces import workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bulkhead.api.effective import Effective
    from bulkhead.render import Manifest, Rendered

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("unfenced")]


def _spec(uid: str) -> Effective:
    """Everything, suspended: no pod starts where there are nodes, and every object is there all the same."""
    whole = full()
    return replace(whole, name="api-children", uid=uid, lifecycle=replace(whole.lifecycle, suspended=True))


class Children:
    """The workspace's objects on the server, without an operator."""

    def __init__(self, live: Live, spec: Effective) -> None:
        self._live = live
        self.spec = spec
        self.namespace = render(spec, context(spec)).namespace

    def round(self) -> Plan:
        """Gather, render, plan, execute; again where a controller wrote in between, as the engine does."""
        for _attempt in range(20):
            try:
                return self._one_round()
            except ApiRefusal as refusal:
                if refusal.status != 409:
                    raise
        raise AssertionError("a conflict in each of 20 rounds")

    def _one_round(self) -> Plan:
        desired, observed = self._gathered()
        made = plan(desired, observed, self.spec, CREATED)
        for action in (action for wave in made.waves for action in wave):
            if isinstance(action, Apply):
                self._live.apply(action.manifest, manager="bulkhead")
            elif isinstance(action, Replace):
                self._live.call("PUT", self.ref(key_of(action.manifest)).path, action.manifest)
            else:
                self._live.delete(self.ref(ObjectKey(action.kind, action.name)))
        return made

    def converge(self) -> None:
        """Rounds until nothing is left to do."""
        wait_until("an empty plan", lambda: self.round().empty, timeout_seconds=20)

    def ref(self, key: ObjectKey) -> Ref:
        """Where the object lives."""
        return Ref(key.kind, key.name, None if key.kind == "Namespace" else self.namespace)

    def versions(self) -> dict[ObjectKey, str]:
        """Every object's resourceVersion: equal ones mean that nothing was written."""
        _, observed = self._gathered()
        return {key: live["metadata"]["resourceVersion"] for key, live in observed.objects.items()}

    def _gathered(self) -> tuple[Rendered, Observed]:
        first = render(self.spec, context(self.spec))
        kinds = sorted({each["kind"] for each in first.manifests} - {"Namespace"})
        space = self._live.find(Ref("Namespace", first.namespace))
        objects = {
            ObjectKey(kind, live["metadata"]["name"]): live
            for kind in kinds
            for live in (self._live.items(kind, first.namespace) if space else [])
        }
        ips = {key.name: live["spec"]["clusterIP"] for key, live in objects.items() if key.kind == "Service"}
        return render(self.spec, context(self.spec, service_ips=ips)), Observed(
            namespace=space, objects=objects, cluster=CLUSTER
        )


@pytest.fixture(scope="module")
def children(live: Live, crds: object) -> Iterator[Children]:
    """Every kind of child, converged, under an owner that exists: the garbage collector ends orphans.

    The owner's class does not exist, so an operator that happens to run there leaves it all alone.
    """
    owner = Ref("TenantWorkspace", "api-children")
    uid = live.apply(workspace(owner.name, className="no-such-class"))["metadata"]["uid"]
    made = Children(live, _spec(uid))
    made.converge()
    yield made
    live.delete(Ref("Namespace", made.namespace))
    live.delete(owner)


def test_what_the_server_answers_needs_no_further_write(
    children: Children, request: pytest.FixtureRequest
) -> None:
    """Defaults, canonical quantities and server-owned fields must not look like drift: it would never end."""
    assert children.round().waves == ()
    if request.config.getoption("--update-golden"):
        record(*children._gathered())


def test_applying_the_same_again_changes_nothing(children: Children, live: Live) -> None:
    """Servers bump the generation of some unchanged objects (empty lists): a loop with a watch on it."""
    rendered, _ = children._gathered()
    versions = []
    for _round in range(3):
        for manifest in rendered.manifests:
            live.apply(manifest, manager="bulkhead")
        versions.append(children.versions())

    # The first apply over a fresh claim is written once more (1.37); from then on nothing is.
    assert versions[1] == versions[2]


def _add(path: str, value: object) -> list[dict[str, Any]]:
    return [{"op": "add", "path": path, "value": value}]


_YES = True
_POD = "/spec/template/spec"
_CONTAINER = {"name": "spy", "image": "spy:1"}
_TOLERATION = {"operator": "Exists"}
_STRANGER = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "mallory"}
EDITS = [
    ("allow-all ingress", ObjectKey("NetworkPolicy", "default-deny"), _add("/spec/ingress", [{}])),
    ("allow-all egress", ObjectKey("NetworkPolicy", "tool-shell"), _add("/spec/egress", [{}])),
    ("policy type dropped", ObjectKey("NetworkPolicy", "runtime"), _add("/spec/policyTypes", ["Ingress"])),
    ("quota raised", ObjectKey("ResourceQuota", "workspace"), _add("/spec/hard/pods", "1000")),
    ("quota key added", ObjectKey("ResourceQuota", "workspace"), _add("/spec/hard/count~1jobs.batch", "9")),
    ("limits raised", ObjectKey("LimitRange", "workspace"), _add("/spec/limits/0/default/cpu", "64")),
    ("limits item added", ObjectKey("LimitRange", "workspace"),
     _add("/spec/limits/-", {"type": "Pod", "max": {"cpu": "64"}})),
    ("subject added", ObjectKey("RoleBinding", "tenant-admin"), _add("/subjects/-", _STRANGER)),
    ("account automounts", ObjectKey("ServiceAccount", "runtime"),
     _add("/automountServiceAccountToken", _YES)),
    ("secret value", ObjectKey("Secret", "secret-api-key"), _add("/data/value", "ZXZpbA==")),
    ("secret key added", ObjectKey("Secret", "session-keys"), _add("/data/other", "ZXZpbA==")),
    ("service selector", ObjectKey("Service", "gateway"), _add("/spec/selector", {"app": "evil"})),
    ("external address", ObjectKey("Service", "tool-shell"), _add("/spec/externalIPs", ["203.0.113.7"])),
    ("hostNetwork", ObjectKey("Deployment", "gateway"), _add(f"{_POD}/hostNetwork", _YES)),
    ("hostPID", ObjectKey("Deployment", "runtime"), _add(f"{_POD}/hostPID", _YES)),
    ("second container", ObjectKey("Deployment", "tool-shell"), _add(f"{_POD}/containers/-", _CONTAINER)),
    ("init container", ObjectKey("Deployment", "tool-shell"),
     _add(f"{_POD}/initContainers/0", _CONTAINER)),
    ("guard gone", ObjectKey("Deployment", "tool-shell"),
     [{"op": "remove", "path": f"{_POD}/initContainers"}]),
    ("guard of another image", ObjectKey("Deployment", "runtime"),
     _add(f"{_POD}/initContainers/0/image", "evil:1")),
    ("guard asks somebody else", ObjectKey("Deployment", "runtime"),
     _add(f"{_POD}/initContainers/0/env/0/value", "{}")),
    ("runtime class gone", ObjectKey("Deployment", "runtime"),
     [{"op": "remove", "path": f"{_POD}/runtimeClassName"}]),
    ("runtime class for the gateway", ObjectKey("Deployment", "gateway"),
     _add(f"{_POD}/runtimeClassName", "other")),
    ("node chosen", ObjectKey("Deployment", "runtime"), _add(f"{_POD}/nodeName", "node-1")),
    ("guard's arrow widened", ObjectKey("NetworkPolicy", "guard"),
     _add("/spec/podSelector/matchExpressions/0/values", ["egress"])),
    ("isolation level", ObjectKey("Namespace", ""),
     _add("/metadata/labels/bulkhead.dev~1isolation-level", "Baseline")),
    ("allowed images", ObjectKey("Namespace", ""),
     _add("/metadata/annotations/bulkhead.dev~1allowed-images", "evil:1")),
    ("guard's config", ObjectKey("Namespace", ""),
     [{"op": "remove", "path": "/metadata/annotations/bulkhead.dev~1guard-config"}]),
    ("environment", ObjectKey("Deployment", "egress"),
     _add(f"{_POD}/containers/0/env/-", {"name": "DEBUG", "value": "1"})),
    ("image", ObjectKey("Deployment", "gateway"), _add(f"{_POD}/containers/0/image", "evil:1")),
    ("toleration", ObjectKey("Deployment", "runtime"), _add(f"{_POD}/tolerations", [_TOLERATION])),
    ("host path", ObjectKey("Deployment", "tool-search"),
     _add(f"{_POD}/volumes/-", {"name": "host", "hostPath": {"path": "/"}})),
    ("pod label", ObjectKey("Deployment", "tool-search"), _add("/spec/template/metadata/labels/x", "y")),
    ("capabilities", ObjectKey("Deployment", "runtime"),
     _add(f"{_POD}/containers/0/securityContext/capabilities/add", ["NET_ADMIN"])),
    ("replicas", ObjectKey("Deployment", "runtime"), _add("/spec/replicas", 3)),
    ("pod security", ObjectKey("Namespace", ""),
     _add("/metadata/labels/pod-security.kubernetes.io~1enforce", "privileged")),
    ("workspace label", ObjectKey("NetworkPolicy", "gateway"),
     [{"op": "remove", "path": "/metadata/labels"}]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "edit"), [case[1:] for case in EDITS], ids=[case[0] for case in EDITS])
def test_a_strangers_edit_is_seen_and_undone(
    children: Children, live: Live, key: ObjectKey, edit: list[dict[str, Any]]
) -> None:
    """DRIFT-001: the plan names it as drift, and after its writes the server holds what was rendered."""
    children.converge()
    target = ObjectKey(key.kind, key.name or children.namespace)
    live.patch(children.ref(target), edit)

    repair = children.round()

    actions = [action for wave in repair.waves for action in wave]
    assert [_touched(action) for action in actions] == [target]
    assert all(action.drift for action in actions)
    assert children.round().empty


def _headless(live: Manifest) -> Manifest:
    spec = {key: live["spec"][key] for key in ("selector", "ports")}
    return live | {"spec": spec | {"clusterIP": "None"}}


def _other_selector(live: Manifest) -> Manifest:
    labels = live["spec"]["template"]["metadata"]["labels"]
    return live | {"spec": live["spec"] | {"selector": {"matchLabels": labels}}}


@pytest.mark.parametrize(
    ("kind", "name", "damage"),
    [
        ("Secret", "secret-api-key", lambda live: live | {"type": "example.com/other"}),
        ("Service", "runtime", _headless),
        (
            "RoleBinding",
            "bulkhead-operator",
            lambda live: live | {"roleRef": live["roleRef"] | {"name": "view"}},
        ),
        ("Deployment", "tool-shell", _other_selector),
    ],
)
def test_what_cannot_be_changed_is_made_again(
    children: Children, live: Live, kind: str, name: str, damage: Callable[[Manifest], Manifest]
) -> None:
    """A stranger deletes an object and puts one of another immutable shape under its name."""
    children.converge()
    ref = children.ref(ObjectKey(kind, name))
    there = live.get(ref)
    live.delete(ref)
    metadata = {key: there["metadata"][key] for key in ("name", "namespace", "labels", "annotations")}
    live.create(damage({**{k: v for k, v in there.items() if k != "status"}, "metadata": metadata}))

    children.converge()

    assert children.round().empty


def test_a_foreign_policy_is_deleted(children: Children, live: Live) -> None:
    """ISO-NET-009: policies add up, so one beside ours can only open a way."""
    children.converge()
    foreign = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "open", "namespace": children.ref(ObjectKey("Secret", "x")).namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
    }
    live.create(foreign)

    children.round()

    assert live.find(children.ref(ObjectKey("NetworkPolicy", "open"))) is None
    assert children.round().empty


def test_a_stale_replace_is_refused(children: Children, live: Live) -> None:
    """A PUT without the version that was read would undo somebody's newer write."""
    children.converge()
    key = ObjectKey("NetworkPolicy", "default-deny")
    live.patch(children.ref(key), _add("/spec/ingress", [{}]))
    desired, observed = children._gathered()
    (replaced,) = plan(desired, observed, children.spec, CREATED).waves[0]
    live.patch(children.ref(key), _add("/metadata/annotations/newer", "1"))

    assert isinstance(replaced, Replace)
    with pytest.raises(ApiRefusal) as refusal:
        live.call("PUT", children.ref(key).path, replaced.manifest)

    assert refusal.value.status == 409
    children.converge()


def _touched(action: object) -> ObjectKey:
    assert isinstance(action, Apply | Replace)
    return key_of(action.manifest)
