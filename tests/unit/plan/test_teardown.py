"""The order down, from any state, touching nothing that is not ours."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from support.builders import UID, effective, full
from support.cluster import converge, namespace, tear_down
from support.store import OPERATOR_NAMESPACE, Store

from bulkhead import names
from bulkhead.plan.actions import Delete, Plan
from bulkhead.plan.observed import Observed
from bulkhead.plan.teardown import teardown

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective

SPEC = full()
SPACE = namespace(SPEC)


def _store(spec: Effective = SPEC) -> Store:
    store = Store()
    converge(store, spec)
    key = {"name": names.signing_key(UID), "namespace": OPERATOR_NAMESPACE}
    store.create({"kind": "Secret", "metadata": key, "type": "Opaque", "data": {}})
    store.log.clear()
    return store


def _step(store: Store) -> Plan:
    observed = store.observed(SPACE, UID)
    return teardown(SPEC.name, UID, observed, operator_namespace=OPERATOR_NAMESPACE)


def _deleted(made: Plan) -> list[list[tuple[str, str]]]:
    return [[(a.kind, a.name) for a in wave if isinstance(a, Delete)] for wave in made.waves]


def test_sessions_and_people_then_ways_out_then_pods() -> None:
    """A token, a shell or a connection that outlives its pod's fences is a leak at the very end."""
    made = _step(_store())

    assert _deleted(made) == [
        [
            ("Secret", names.signing_key(UID)),
            ("Secret", "session-keys"),
            *(("RoleBinding", f"tenant-{role}") for role in ("admin", "operate", "view")),
        ],
        [("Deployment", "egress"), ("NetworkPolicy", "egress"), ("Service", "egress")],
        [("Deployment", name) for name in ("egress", "gateway", "runtime", "tool-search", "tool-shell")],
    ]
    assert made.requeue_after_seconds == 0.0


def test_access_that_an_admin_gave_ends_before_anything_else() -> None:
    """Somebody who may still make pods would make them faster than they are ended."""
    store = _store()
    for name in ("friends", "own-account"):
        store.create({"kind": "RoleBinding", "metadata": {"name": name, "namespace": SPACE}, "roleRef": {}})
    store.create({"kind": "Role", "metadata": {"name": "friends", "namespace": SPACE}, "rules": []})

    made = _step(store)

    first = set(_deleted(made)[0])
    assert {("RoleBinding", "friends"), ("RoleBinding", "own-account")} < first
    assert ("RoleBinding", names.OPERATOR_BINDING) not in first
    assert not [kind for wave in _deleted(made)[1:] for kind, _ in wave if kind == "RoleBinding"]


def test_secrets_and_namespace_wait_for_the_last_pod() -> None:
    """CVE-2024-7598: a namespace may lose its policies before its pods."""
    store = _store()
    store.execute(_step(store))
    waiting = _step(store)
    while store.observed(SPACE, UID).pods:
        assert _step(store).empty
        store.tick()

    last = _step(store)

    assert "Pod gateway-0 of ReplicaSet rs" in waiting.waiting_for
    assert waiting.requeue_after_seconds == 2.0
    assert _deleted(last) == [
        [
            ("Secret", "gateway-keys"),
            ("Secret", "model-key"),
            ("Secret", "secret-api-key"),
            ("Secret", "secret-search-key"),
        ],
        [("Namespace", SPACE)],
    ]


def test_it_ends_with_nothing_left() -> None:
    """The promise of the product in one line."""
    store = _store()

    tear_down(store, SPEC)

    assert store.objects == {}


def test_policies_stand_until_the_namespace_goes() -> None:
    """Only egress's is removed early, which closes: default-deny remains."""
    store = _store()

    tear_down(store, SPEC)

    policies = [a.name for a in store.log if isinstance(a, Delete) and a.kind == "NetworkPolicy"]
    assert policies == ["egress"]


def test_a_foreign_namespace_is_left_alone() -> None:
    """Also by a workspace that never owned it: only its own key goes."""
    store = _store()
    store.objects["Namespace", None, SPACE]["metadata"]["labels"] = {"theirs": "1"}

    first, then = _step(store), None
    store.execute(first)
    then = _step(store)

    assert _deleted(first) == [[("Secret", names.signing_key(UID))]]
    assert then.finished
    assert ("Namespace", None, SPACE) in store.objects


def test_a_namespace_whose_label_was_stripped_is_still_torn_down() -> None:
    """Stripping a label must not leave a tenant's pods behind for ever."""
    store = _store()
    live = store.objects["Namespace", None, SPACE]
    live["metadata"]["labels"] = {}
    observed = store.observed(SPACE, UID, namespace_uid=live["metadata"]["uid"])

    made = teardown(SPEC.name, UID, observed, operator_namespace=OPERATOR_NAMESPACE)

    assert ("Deployment", "gateway") in [key for wave in _deleted(made) for key in wave]


def test_a_workspace_that_never_was_is_finished_at_once() -> None:
    """An invalid spec made nothing; its deletion must not hang."""
    assert teardown("acme", UID, Observed(), operator_namespace=OPERATOR_NAMESPACE) == Plan(finished=True)


def test_finished_only_after_the_key_was_seen_gone() -> None:
    """A key that survives its workspace could still sign."""
    observed = Observed(signing_key_uid="key-uid")

    made = teardown("acme", UID, observed, operator_namespace=OPERATOR_NAMESPACE)

    assert not made.finished
    assert made.waves == ((Delete("v1", "Secret", OPERATOR_NAMESPACE, names.signing_key(UID), "key-uid"),),)


def _pod(name: str, owner: tuple[str, str] | None = None, **metadata: Any) -> dict[str, Any]:
    pod: dict[str, Any] = {"name": name, "namespace": SPACE, "uid": f"uid-{name}", **metadata}
    if owner is not None:
        kind, uid = owner
        pod["ownerReferences"] = [
            {"apiVersion": "batch/v1", "kind": kind, "name": f"{name}-owner", "uid": uid, "controller": True}
        ]
    return {"kind": "Pod", "metadata": pod}


def test_pods_that_others_made_are_ended_at_their_root() -> None:
    """A pod of a Job comes back when it is deleted; one of an unknown controller is at least told to go."""
    store = _store(effective())
    for where in [where for where in store.objects if where[0] in {"Deployment", "Pod", "RoleBinding"}]:
        del store.objects[where]
    observed = replace(
        store.observed(SPACE, UID),
        signing_key_uid=None,
        pods=(
            _pod("bare"),
            _pod("of-job", ("Job", "job-uid")),
            _pod("of-custom", ("Custom", "custom-uid")),
            _pod("going", deletionTimestamp="2026-11-01T09:00:00Z", finalizers=["example.com/hold"]),
        ),
    )
    objects = {key: live for key, live in observed.objects.items() if key.name != "session-keys"}

    made = teardown(SPEC.name, UID, replace(observed, objects=objects), operator_namespace=OPERATOR_NAMESPACE)

    assert [action for wave in made.waves for action in wave] == [
        Delete("v1", "Pod", SPACE, "bare", "uid-bare"),
        Delete("batch/v1", "Job", SPACE, "of-job-owner", "job-uid"),
        Delete("v1", "Pod", SPACE, "of-custom", "uid-of-custom"),
    ]
    assert "Pod going (finalizers example.com/hold)" in made.waiting_for


def test_a_blocked_namespace_says_what_holds_it() -> None:
    """In the namespace controller's own words; nothing foreign is force-removed."""
    store = _store()
    live = store.objects["Namespace", None, SPACE]
    live["metadata"]["deletionTimestamp"] = "2026-11-01T09:00:00Z"
    words = "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances"
    live["status"] = {
        "conditions": [
            {"type": "NamespaceFinalizersRemaining", "status": "True", "message": words},
            {
                "type": "NamespaceDeletionDiscoveryFailure",
                "status": "False",
                "message": "All resources discovered",
            },
        ]
    }
    store.objects["Secret", SPACE, "session-keys"]["metadata"]["finalizers"] = ["example.com/keep"]

    made = _step(store)

    assert words in made.waiting_for
    assert "Secret session-keys (finalizers example.com/keep)" in made.waiting_for
    assert "discovered" not in made.waiting_for
    assert _deleted(made) == [[("Secret", names.signing_key(UID))]]


def test_nothing_is_made_on_the_way_down() -> None:
    """An apply during teardown would race with the deletion of its namespace."""
    store = _store()

    tear_down(store, SPEC)

    assert all(isinstance(action, Delete) for action in store.log)
