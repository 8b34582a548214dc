"""The writes of one round: order, drift, removal, and when to keep the hands off."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from support.builders import CREATED, UID, context, effective, full, secret, tool
from support.cluster import converge, gathered, namespace, one_round
from support.store import Store

from bulkhead import names
from bulkhead.plan.actions import Apply, Delete, Plan, Replace
from bulkhead.plan.planner import plan
from bulkhead.render import ObjectKey, render
from bulkhead.render.rendered import key_of, wave_of

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.plan.actions import Action

OPEN_POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "open", "namespace": namespace(effective())},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
}
NARROW_POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "workers", "namespace": namespace(effective())},
    "spec": {
        "podSelector": {"matchLabels": {"app": "worker"}},
        "policyTypes": ["Ingress"],
        "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "worker"}}}]}],
    },
}


def _actions(made: Plan) -> list[Action]:
    return [action for wave in made.waves for action in wave]


def _key(action: Action) -> ObjectKey:
    return ObjectKey(action.kind, action.name) if isinstance(action, Delete) else key_of(action.manifest)


def _converged(spec: Effective) -> Store:
    store = Store()
    converge(store, spec)
    return store


def test_the_first_plan_is_everything_wave_by_wave() -> None:
    """One round brings up all that needs no answer of the API server first."""
    spec = full()
    desired, observed = gathered(Store(), spec)

    made = plan(desired, observed, spec, CREATED)

    waves = [{wave_of(_key(action)) for action in wave} for wave in made.waves]
    assert all(len(wave) == 1 for wave in waves)
    assert [wave.pop() for wave in waves] == sorted({wave_of(key_of(each)) for each in desired.manifests})
    assert "Service gateway" in made.waiting_for
    assert made.requeue_after_seconds == 1.0


def test_a_missing_object_of_a_ready_workspace_is_drift() -> None:
    """Somebody deleted it: worth an Event; a first creation is not."""
    spec = effective()
    store = _converged(spec)
    del store.objects["NetworkPolicy", namespace(spec), "gateway"]

    (fresh,) = _actions(plan(*gathered(store, spec), spec, CREATED))
    (drifted,) = _actions(plan(*gathered(store, spec, was_ready=True), spec, CREATED))

    assert (fresh.drift, drifted.drift) == (False, True)


def test_foreign_fields_are_replaced_and_own_ones_applied() -> None:
    """An apply cannot remove what we never set."""
    spec = effective()
    store = _converged(spec)
    store.edit("NetworkPolicy", namespace(spec), "default-deny")["spec"]["ingress"] = [{}]
    store.edit("ResourceQuota", namespace(spec), "workspace")["spec"]["hard"]["pods"] = "1000"

    made = _actions(plan(*gathered(store, spec), spec, CREATED))

    assert {(_key(action).kind, type(action), action.drift) for action in made} == {
        ("NetworkPolicy", Replace, True),
        ("ResourceQuota", Apply, True),
    }


def test_a_foreign_policy_goes_before_anything_is_brought_up() -> None:
    """ISO-NET-009: it stands open as long as it stands."""
    spec = effective()
    store = _converged(spec)
    store.create(OPEN_POLICY)
    uid = store.objects["NetworkPolicy", namespace(spec), "open"]["metadata"]["uid"]
    grown = replace(spec, tools=(tool("shell"),))

    made = plan(*gathered(store, grown), grown, CREATED)

    deletions = [(index, a) for index, wave in enumerate(made.waves) for a in wave if isinstance(a, Delete)]
    pods = [i for i, wave in enumerate(made.waves) for a in wave if _key(a).kind == "Deployment"]
    expected = Delete("networking.k8s.io/v1", "NetworkPolicy", namespace(spec), "open", uid, drift=True)
    assert [action for _, action in deletions] == [expected]
    assert deletions[0][0] < min(pods)


def test_a_narrow_policy_of_a_tenants_is_left_alone() -> None:
    """Self-service inside the namespace: it opens ways between the tenant's own pods and no other."""
    spec = effective()
    store = _converged(spec)
    store.create(NARROW_POLICY)

    assert plan(*gathered(store, spec), spec, CREATED).empty


def test_roles_of_an_older_release_go_and_a_tenants_own_stay() -> None:
    """Ours are the chart's now; one that stays behind would still say what somebody may do."""
    spec = effective()
    store = _converged(spec)
    labels = names.workspace_labels(spec.name, spec.uid)
    for name, marks in (("tenant-view", labels), ("their-own", {})):
        metadata = {"name": name, "namespace": namespace(spec), "labels": marks}
        store.create({"kind": "Role", "metadata": metadata, "rules": []})

    made = _actions(plan(*gathered(store, spec), spec, CREATED))

    assert [(type(action), _key(action)) for action in made] == [(Delete, ObjectKey("Role", "tenant-view"))]


def test_a_binding_to_a_role_of_an_older_release_is_made_again() -> None:
    """What a binding refers to cannot be changed in place."""
    spec = full()
    store = _converged(spec)
    live = store.edit("RoleBinding", namespace(spec), "tenant-view")
    live["roleRef"] |= {"kind": "Role", "name": "tenant-view"}

    converge(store, spec)

    bound = store.objects["RoleBinding", namespace(spec), "tenant-view"]["roleRef"]
    assert (bound["kind"], bound["name"]) == ("ClusterRole", "bulkhead-tenant-view")


def test_a_source_that_vanished_is_looked_for_again() -> None:
    """Nothing waits for it while the value copied last is there, and nobody tells when it comes back."""
    spec = effective(secrets=(secret("api-key"),))
    store = _converged(spec)

    made = plan(*gathered(store, spec, missing_secret_sources=("platform/api:key",)), spec, CREATED)

    assert made.empty
    assert made.requeue_after_seconds == 10.0


def test_an_object_under_our_name_is_taken_over() -> None:
    """Inside our own namespace a squatter's default-deny that denies nothing must become ours."""
    spec = effective()
    store = _converged(spec)
    live = store.edit("NetworkPolicy", namespace(spec), "default-deny")
    live["metadata"]["labels"] = {}
    live["spec"]["ingress"] = [{}]

    (action,) = _actions(plan(*gathered(store, spec), spec, CREATED))

    assert isinstance(action, Replace)
    assert action.manifest["metadata"]["labels"][names.WORKSPACE_UID_LABEL] == UID


def test_what_is_no_longer_asked_for_goes_pods_first() -> None:
    """A tool's policy must outlive the tool's pods."""
    spec = effective(tools=(tool("shell"),))
    store = _converged(spec)
    smaller = replace(spec, tools=())

    made = plan(*gathered(store, smaller), smaller, CREATED)

    removed = [_key(action).kind for action in _actions(made) if isinstance(action, Delete)]
    assert removed == ["Deployment", "Service", "NetworkPolicy", "ServiceAccount"]
    assert not any(action.drift for action in _actions(made))


def test_what_is_withheld_is_not_removed() -> None:
    """A source Secret that vanishes for a moment must not take the tenant's running pods with it."""
    spec = full()
    store = _converged(spec)
    _, observed = gathered(store, spec)
    blind = render(spec, context(spec, service_ips={}, secret_values={}, jwks=""))

    made = plan(blind, observed, spec, CREATED)

    assert not any(isinstance(action, Delete) for action in _actions(made))
    assert made.requeue_after_seconds is not None


def test_a_foreign_namespace_is_not_written_to() -> None:
    """Adoption goes by UID: a squatted name must stay untouched to the byte."""
    spec = effective()
    store = Store()
    store.create({"kind": "Namespace", "metadata": {"name": namespace(spec), "labels": {}}})

    made = one_round(store, spec)

    assert made.waves == ()
    assert "belongs to somebody else" in made.waiting_for


def test_a_stripped_label_does_not_orphan_the_namespace() -> None:
    """Status remembers the namespace's own UID: whoever strips the label gets it put back."""
    spec = effective()
    store = _converged(spec)
    live = store.edit("Namespace", None, namespace(spec))
    live["metadata"]["labels"] = {}

    stranger = plan(*gathered(store, spec), spec, CREATED)
    (action,) = _actions(plan(*gathered(store, spec, namespace_uid=live["metadata"]["uid"]), spec, CREATED))

    assert stranger.empty
    assert isinstance(action, Apply)
    assert action.drift
    assert action.manifest["kind"] == "Namespace"


def test_a_namespace_on_its_way_out_is_waited_for() -> None:
    """Every write into it would be refused; when it is gone everything is made again."""
    spec = effective()
    store = _converged(spec)
    store.edit("Namespace", None, namespace(spec))["metadata"]["deletionTimestamp"] = "2026-11-01T09:00:00Z"

    made = plan(*gathered(store, spec), spec, CREATED)
    converge(store, spec)

    assert made.empty
    assert made.requeue_after_seconds == 2.0
    assert "deletionTimestamp" not in store.objects["Namespace", None, namespace(spec)]["metadata"]


def test_an_immutable_difference_deletes_first_and_holds_what_follows() -> None:
    """The operator's binding decides whether later writes are allowed at all."""
    spec = effective()
    store = _converged(spec)
    store.edit("RoleBinding", namespace(spec), "bulkhead-operator")["roleRef"]["name"] = "view"
    del store.objects["Deployment", namespace(spec), "gateway"]

    made = plan(*gathered(store, spec), spec, CREATED)
    converge(store, spec)

    assert [(type(action), _key(action).name) for action in _actions(made)] == [(Delete, "bulkhead-operator")]
    assert "RoleBinding bulkhead-operator" in made.waiting_for
    assert ("Deployment", namespace(spec), "gateway") in store.objects


def test_a_policy_that_is_going_holds_back_new_pods() -> None:
    """ISO-NET-008: a pod made now would outlive the policy that should have fenced it."""
    spec = effective()
    store = _converged(spec)
    live = store.edit("NetworkPolicy", namespace(spec), "default-deny")
    live["metadata"] |= {"finalizers": ["example.com/hold"], "deletionTimestamp": "2026-11-01T09:00:00Z"}
    grown = replace(spec, tools=(tool("shell"),))

    made = plan(*gathered(store, grown), grown, CREATED)

    assert {_key(action).kind for action in _actions(made)} <= {"ServiceAccount", "NetworkPolicy"}
    assert "NetworkPolicy default-deny" in made.waiting_for


def test_suspending_scales_and_resuming_scales_back() -> None:
    """Suspension is no removal: the same objects, no pods."""
    spec = full()
    store = _converged(spec)
    before = set(store.objects)
    converge(store, replace(spec, lifecycle=replace(spec.lifecycle, suspended=True)))
    asleep = set(store.objects)
    converge(store, spec)

    assert before - asleep == {where for where in before if where[0] == "Pod"}
    assert set(store.objects) == before


def test_the_next_deadline_sets_the_next_look() -> None:
    """Sleeping past the warning would be a late warning."""
    spec = effective()
    store = _converged(spec)

    before = plan(*gathered(store, spec), spec, CREATED)
    after = plan(*gathered(store, spec), spec, CREATED + timedelta(hours=7, minutes=55))

    assert before.requeue_after_seconds == timedelta(hours=7, minutes=50).total_seconds()
    assert after.requeue_after_seconds == timedelta(minutes=5).total_seconds()
