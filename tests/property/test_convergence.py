"""Whatever the spec: it renders, plans converge, teardown ends, nothing runs outside its policies."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.builders import CREATED, context
from support.cluster import converge, gathered, namespace, one_round, tear_down
from support.store import Store
from support.strategies import workspaces

from bulkhead.plan.actions import Apply, Delete, Replace
from bulkhead.plan.compare import Difference, compare
from bulkhead.plan.expiry import deadlines, earliest, is_expired, next_change
from bulkhead.render import ObjectKey, render
from bulkhead.render.rendered import is_pod_bearing, key_of

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective

few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(workspaces())
def test_rendering_is_deterministic_and_leaves_its_input_alone(spec: Effective) -> None:
    """A manifest that differs between two runs is a write for ever."""
    facts = context(spec)

    first, again = render(spec, facts), render(spec, facts)

    assert json.dumps(first.manifests) == json.dumps(again.manifests)
    assert first.withheld == again.withheld == {}
    assert len({key_of(each) for each in first.manifests}) == len(first.manifests)


@few
@given(workspaces())
def test_a_converged_workspace_plans_nothing(spec: Effective) -> None:
    """A no-op reconcile makes no write: with a watch on children anything else is a loop."""
    store = Store()
    converge(store, spec)
    writes = store.writes

    made = one_round(store, spec)

    assert made.waves == ()
    assert store.writes == writes


@few
@given(workspaces())
def test_after_execution_observed_equals_desired(spec: Effective) -> None:
    """Every manifest has its equal in the cluster, and nothing of ours is beside them."""
    store = Store()
    converge(store, spec)
    desired, observed = gathered(store, spec)

    assert observed.namespace is not None
    live = {**observed.objects, ObjectKey("Namespace", desired.namespace): observed.namespace}

    assert set(live) == {key_of(each) for each in desired.manifests}
    assert all(compare(each, live[key_of(each)]) is Difference.NONE for each in desired.manifests)


@few
@given(workspaces())
def test_no_pod_bearing_object_before_every_policy(spec: Effective) -> None:
    """ISO-NET-008: in the order of writes, the last policy comes before the first Deployment."""
    store = Store()
    converge(store, spec)
    keys = [key_of(action.manifest) for action in store.log if isinstance(action, Apply | Replace)]

    last_policy = max(index for index, key in enumerate(keys) if key.kind == "NetworkPolicy")
    first_pods = min(index for index, key in enumerate(keys) if is_pod_bearing(key))

    assert last_policy < first_pods


@few
@given(workspaces(), workspaces())
def test_any_edit_of_the_spec_converges_to_the_new_one(before: Effective, after: Effective) -> None:
    """What is no longer asked for goes, what is new comes, and no write is refused on the way."""
    after = _same_identity(before, after)
    store = Store()
    converge(store, before)

    converge(store, after)
    desired, observed = gathered(store, after)

    assert set(observed.objects) == {
        key_of(each) for each in desired.manifests if each["kind"] != "Namespace"
    }


@few
@given(workspaces(), st.data())
def test_any_single_edit_by_a_stranger_is_undone(spec: Effective, data: st.DataObject) -> None:
    """Drift of each kind, at any field: after repair the object is as rendered."""
    store = Store()
    converge(store, spec)
    desired, _ = gathered(store, spec)
    victim = data.draw(st.sampled_from([each for each in desired.manifests if each["kind"] != "Namespace"]))
    key = key_of(victim)
    live = store.edit(key.kind, namespace(spec), key.name)
    _damage(data, live)

    converge(store, spec)

    repaired, observed = gathered(store, spec)
    assert all(
        compare(each, observed.objects[key_of(each)]) is Difference.NONE
        for each in repaired.manifests
        if each["kind"] != "Namespace"
    )


@few
@given(workspaces(), st.integers(0, 6))
def test_teardown_ends_wherever_creation_was_broken_off(spec: Effective, rounds: int) -> None:
    """From any half-made state: finished, nothing left, no object made on the way down."""
    store = Store()
    for _ in range(rounds):
        one_round(store, spec)
        store.tick()
    store.log.clear()

    tear_down(store, spec)

    assert store.objects == {}
    assert all(isinstance(action, Delete) for action in store.log)


@given(workspaces(), st.integers(-(10**8), 10**8), st.none() | st.integers(-(10**6), 10**6))
def test_expiry_is_never_early(spec: Effective, seconds: int, active: int | None) -> None:
    """Expired means that every reading of the clock so far lies at or after some deadline of the spec."""
    now = CREATED + timedelta(seconds=seconds)
    last_activity = None if active is None else CREATED + timedelta(seconds=active)
    found = deadlines(spec, last_activity=last_activity)

    deadline = earliest(found)

    assert is_expired(deadline, now) == any(now >= each.at for each in found)
    if spec.lifecycle.ttl_seconds is not None and found:
        assert deadline is not None
        assert deadline.at <= CREATED + timedelta(seconds=spec.lifecycle.ttl_seconds)


@given(workspaces(), st.integers(0, 10**7))
def test_a_round_is_due_again_before_anything_changes_by_itself(spec: Effective, seconds: int) -> None:
    """Sleeping past a warning or a deadline would be a late expiry."""
    now = CREATED + timedelta(seconds=seconds)
    deadline = earliest(deadlines(spec, last_activity=None))

    change = next_change(spec, last_activity=None, now=now)

    assert (change is None) == (deadline is None)
    if change is not None and deadline is not None and now < deadline.at:
        assert now < change <= deadline.at


def _same_identity(before: Effective, after: Effective) -> Effective:
    return replace(after, name=before.name)


def _damage(data: st.DataObject, live: dict[str, Any]) -> None:
    """One field somewhere below the compared part is removed, replaced or added to."""
    section = next(
        name for name in ("spec", "rules", "subjects", "data", "automountServiceAccountToken") if name in live
    )
    if section == "automountServiceAccountToken":
        live[section] = True
        return
    node = live[section]
    while True:
        children = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
        deeper = [child for _, child in children if isinstance(child, dict | list) and child]
        if not deeper or data.draw(st.booleans()):
            break
        node = data.draw(st.sampled_from(deeper))
    how = data.draw(st.sampled_from(["remove", "add"]))
    if isinstance(node, dict):
        protected = {"selector", "clusterIP", "clusterIPs", "name", "mountPath", "serviceAccountName"}
        removable = sorted(set(node) - protected)
        if how == "remove" and removable:
            del node[data.draw(st.sampled_from(removable))]
        else:
            node["strange"] = "value"
    elif how == "remove" and len(node) > 1:
        node.pop()
    else:
        node.append(
            copy.deepcopy(node[0]) if node and not isinstance(node[0], dict) else {"strange": "value"}
        )
