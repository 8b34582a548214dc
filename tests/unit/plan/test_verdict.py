"""What status says, and the rules that hold for every status."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from support.builders import CREATED, LIFECYCLE, UID, effective, full
from support.cluster import converge, gathered, namespace
from support.store import Store
from support.verdicts import (
    FALSE,
    NEW,
    NOW,
    SPACE,
    SPEC,
    TRUE,
    UNKNOWN,
    condition,
    events,
    judged,
    ready_store,
    said,
)

from bulkhead import names
from bulkhead.api.conditions import WORKSPACE_CONDITIONS, Reason
from bulkhead.api.conditions import ConditionType as Kind
from bulkhead.api.events import EventReason
from bulkhead.api.status import WorkspaceStatus
from bulkhead.errors import Invalid, QuotaExceeded
from bulkhead.plan.actions import Apply, Delete, Plan
from bulkhead.plan.findings import condition_of
from bulkhead.plan.verdict import accept, judge


def test_everything_in_place_and_available_is_ready() -> None:
    """The one state in which all conditions agree."""
    verdict = judged(ready_store())

    states = {each.type: each.status for each in verdict.status.conditions}
    bad = {Kind.RECONCILING, Kind.STALLED, Kind.EXPIRING}
    judged_here = WORKSPACE_CONDITIONS.keys() - {Kind.AUDIT_INTACT}  # the anchor's
    assert states == {kind: FALSE if kind in bad else TRUE for kind in judged_here}
    assert verdict.status.phase == "Ready"
    assert verdict.status.agents == "3/3"
    assert verdict.status.expires_at == CREATED + timedelta(hours=8)
    assert verdict.status.gateway is not None
    assert verdict.status.gateway.url == f"http://gateway.{SPACE}.svc.cluster.local:8080"
    assert verdict.status.namespace is not None
    assert verdict.status.namespace.name == SPACE
    assert events(verdict) == [EventReason.PROVISIONED]


def test_unchanged_evidence_gives_an_equal_status_and_no_event() -> None:
    """A status that differs by a clock tick is a write a round, for ever."""
    store = ready_store()
    first = judged(store)

    again = judged(store, previous=first.status, now=NOW + timedelta(minutes=7, microseconds=12))
    # As it comes back from the API server.
    stored = WorkspaceStatus.model_validate_json(first.status.model_dump_json(by_alias=True))

    assert again.status == first.status == stored
    assert again.events == ()


def test_nothing_made_yet_is_provisioning() -> None:
    """Ready must be False with a reason that asks for patience, not for help."""
    verdict = judged(Store())

    assert said(verdict, Kind.READY) == (FALSE, Reason.PROVISIONING)
    assert said(verdict, Kind.RECONCILING) == (TRUE, Reason.PROVISIONING)
    assert said(verdict, Kind.STALLED) == (FALSE, Reason.PROVISIONING)
    assert verdict.status.phase == "Provisioning"
    assert verdict.status.agents == "0/3"
    assert verdict.status.gateway is None
    assert verdict.requeue_after_seconds == 300.0


def test_transition_time_moves_only_with_the_status() -> None:
    """`kubectl wait` and dashboards read it as: since when."""
    store = ready_store()
    first = judged(store, previous=judged(Store()).status)
    store.edit("ResourceQuota", SPACE, "workspace")["spec"]["hard"]["pods"] = "99"

    later = judged(store, previous=first.status, now=NOW + timedelta(hours=1))

    assert condition(first, Kind.QUOTA_APPLIED).last_transition_time == NOW
    assert condition(later, Kind.QUOTA_APPLIED).last_transition_time == NOW + timedelta(hours=1)
    assert condition(later, Kind.NAMESPACE_READY).last_transition_time == NOW
    assert later.status.phase == "Degraded"


def test_missing_sources_are_named_and_told_once() -> None:
    """Nothing else says which Secret, in which namespace, under which key."""
    missing: dict[str, Any] = {"missing_secret_sources": ("platform-secrets/late:token",)}
    store = ready_store()

    first = judged(store, **missing)
    again = judged(store, previous=first.status, **missing)

    assert said(first, Kind.SECRETS_SYNCED) == (FALSE, Reason.SECRET_SOURCE_MISSING)
    assert "platform-secrets/late:token" in condition(first, Kind.SECRETS_SYNCED).message
    assert EventReason.SECRET_SOURCE_MISSING in events(first)
    assert again.events == ()


def test_a_tool_that_waits_for_its_secret_says_so() -> None:
    """Not `provisioning` for ever."""
    spec = full()
    store = ready_store(spec)
    desired, observed = gathered(store, spec)
    key = next(key for key in observed.objects if key == ("Deployment", "tool-search"))
    without = {k: live for k, live in observed.objects.items() if k != key}
    blind = replace(
        desired,
        manifests=tuple(
            m for m in desired.manifests if m["metadata"]["name"] != "tool-search" or m["kind"] != key.kind
        ),
        withheld={key: ("Secret platform-secrets/search-key:token",)},
    )

    verdict = judge(spec, blind, replace(observed, objects=without), previous=NEW, done=Plan(), now=NOW)

    assert said(verdict, Kind.TOOLS_READY) == (FALSE, Reason.SECRET_SOURCE_MISSING)
    assert "platform-secrets/search-key:token" in condition(verdict, Kind.TOOLS_READY).message


def test_what_was_not_asked_for_is_true_and_says_why() -> None:
    """A gateway without agents is a complete workspace."""
    verdict = judged(ready_store(effective()), effective())

    assert said(verdict, Kind.RUNTIME_READY) == (TRUE, Reason.NOT_REQUESTED)
    assert said(verdict, Kind.TOOLS_READY) == (TRUE, Reason.NOT_REQUESTED)
    assert said(verdict, Kind.READY) == (TRUE, Reason.READY)
    assert verdict.status.agents == "0/0"


def test_a_foreign_namespace_stalls_and_says_nothing_of_its_inside() -> None:
    """Conditions about somebody else's policies would be nonsense."""
    store = Store()
    store.create({"kind": "Namespace", "metadata": {"name": SPACE, "labels": {}}})

    verdict = judged(store)

    assert said(verdict, Kind.STALLED) == (TRUE, Reason.NAMESPACE_CONFLICT)
    assert said(verdict, Kind.RECONCILING) == (FALSE, Reason.NAMESPACE_CONFLICT)
    assert SPACE in condition(verdict, Kind.STALLED).message
    assert condition_of(verdict.status, Kind.NETWORK_ISOLATED) is None
    assert verdict.status.namespace is None
    assert events(verdict) == [EventReason.NAMESPACE_CONFLICT]
    assert verdict.requeue_after_seconds == 60.0


def test_a_failed_write_is_shown_in_the_servers_words() -> None:
    """Else the workspace would wait without a reason."""
    failure = Invalid(
        "apply", "Deployment", SPACE, "runtime", status=422, reason="Invalid", message="no such field"
    )
    quota = QuotaExceeded(
        "apply", "Secret", SPACE, "x", status=403, reason="Forbidden", message="exceeded quota"
    )

    failed = judged(ready_store(), failure=failure)
    refused = judged(ready_store(), failure=quota)

    assert said(failed, Kind.READY) == (FALSE, Reason.API_ERROR)
    assert "no such field" in condition(failed, Kind.READY).message
    assert said(refused, Kind.READY) == (FALSE, Reason.QUOTA_EXCEEDED)


def test_the_provision_deadline_stalls_and_stays_until_an_edit() -> None:
    """Level-triggered: the next round must not forget it, a new generation must."""
    start = judged(Store())
    at = NOW + timedelta(seconds=300)

    early = judged(Store(), previous=start.status, now=at - timedelta(seconds=1))
    late = judged(Store(), previous=early.status, now=at)
    still = judged(Store(), previous=late.status, now=at + timedelta(seconds=1))
    edited_spec = replace(SPEC, generation=2)
    accepted = accept(edited_spec, still.status, at + timedelta(seconds=9))
    assert accepted is not None
    edited = judged(Store(), edited_spec, accepted.status, now=at + timedelta(seconds=10))

    assert said(early, Kind.STALLED) == (FALSE, Reason.PROVISIONING)
    assert early.requeue_after_seconds == 1.0
    assert said(late, Kind.STALLED) == (TRUE, Reason.PROVISION_DEADLINE_EXCEEDED)
    assert said(late, Kind.RECONCILING) == (FALSE, Reason.PROVISIONING)
    assert "300 s" in condition(late, Kind.STALLED).message
    assert events(late) == [EventReason.PROVISION_DEADLINE_EXCEEDED]
    assert late.status.phase == "Stalled"
    assert still.status == late.status
    assert still.events == ()
    assert said(edited, Kind.STALLED) == (FALSE, Reason.PROVISIONING)
    assert edited.requeue_after_seconds == 299.0
    unaccepted = judged(Store(), edited_spec, still.status, now=at + timedelta(seconds=10))
    assert said(unaccepted, Kind.STALLED) == (FALSE, Reason.PROVISIONING)


def test_a_stalled_workspace_becomes_ready_by_itself() -> None:
    """The image was pushed after all; nobody has to touch the workspace."""
    start = judged(Store())
    late = judged(Store(), previous=start.status, now=NOW + timedelta(hours=1))

    verdict = judged(ready_store(), previous=late.status, now=NOW + timedelta(hours=2))

    assert said(verdict, Kind.READY) == (TRUE, Reason.READY)
    assert said(verdict, Kind.STALLED) == (FALSE, Reason.READY)


def test_an_edit_in_mid_provisioning_buys_no_time() -> None:
    """Else a client that edits every minute is never told."""
    start = judged(Store())
    edited_spec = replace(SPEC, generation=2)
    accepted = accept(edited_spec, start.status, NOW + timedelta(seconds=200))
    assert accepted is not None

    verdict = judged(Store(), edited_spec, accepted.status, now=NOW + timedelta(seconds=300))

    assert said(verdict, Kind.STALLED) == (TRUE, Reason.PROVISION_DEADLINE_EXCEEDED)


def test_accepting_is_written_once_a_generation() -> None:
    """kstatus: a watcher must never see the old Ready beside the new generation."""
    first = accept(SPEC, NEW, NOW)
    assert first is not None
    ready = judged(ready_store(), previous=first.status)
    edited = accept(replace(SPEC, generation=2), ready.status, NOW)
    assert edited is not None

    assert said(first, Kind.READY) == (UNKNOWN, Reason.PROVISIONING)
    assert said(first, Kind.RECONCILING) == (TRUE, Reason.PROVISIONING)
    assert accept(SPEC, first.status, NOW) is None
    assert said(edited, Kind.READY) == (UNKNOWN, Reason.PROVISIONING)
    assert edited.status.observed_generation == 2
    assert edited.status.namespace == ready.status.namespace


ASLEEP = replace(SPEC, generation=2, lifecycle=replace(LIFECYCLE, suspended=True, idle_ttl_seconds=60))


def test_suspension_comes_to_rest_and_resumption_starts_the_idle_clock() -> None:
    """Suspended for a week with an idleTTL of a minute: resuming must not be the end of it."""
    store = ready_store()
    converge(store, ASLEEP)
    store.tick()
    later = NOW + timedelta(days=7)

    suspended = judged(store, ASLEEP, judged(ready_store()).status)
    awake = replace(ASLEEP, generation=3, lifecycle=replace(ASLEEP.lifecycle, suspended=False))
    resumed = accept(awake, suspended.status, later)
    assert resumed is not None
    working = judged(store, awake, resumed.status, now=later)
    back = judged(ready_store(awake), awake, working.status, now=later)

    assert said(suspended, Kind.READY) == (FALSE, Reason.SUSPENDED)
    assert said(suspended, Kind.RECONCILING) == (FALSE, Reason.SUSPENDED)
    assert said(suspended, Kind.STALLED) == (FALSE, Reason.SUSPENDED)
    assert suspended.status.phase == "Suspended"
    assert suspended.status.agents == "0/3"
    assert suspended.requeue_after_seconds is None
    assert events(suspended) == [EventReason.SUSPENDED]
    assert resumed.status.last_activity == later
    assert events(resumed) == [EventReason.RESUMED]
    assert working.status.phase == "Resuming"
    assert events(back) == []


def test_the_warning_comes_with_the_time_and_once() -> None:
    """The last chance to extend."""
    store = ready_store()
    end = CREATED + timedelta(hours=8)
    before = judged(store, now=end - timedelta(seconds=601))

    warned = judged(store, previous=before.status, now=end - timedelta(seconds=600))
    again = judged(store, previous=warned.status, now=end - timedelta(seconds=1))

    assert said(before, Kind.EXPIRING) == (FALSE, Reason.NOT_EXPIRING)
    assert said(warned, Kind.EXPIRING) == (TRUE, Reason.EXPIRES_SOON)
    assert "spec.lifecycle.ttl ends at 2026-11-01T16:00:00Z" in condition(warned, Kind.EXPIRING).message
    assert events(warned) == [EventReason.EXPIRING]
    assert again.events == ()


def test_repairs_are_told() -> None:
    """An administrator wants to know that somebody edits what Bulkhead keeps."""
    manifest = {"kind": "Role", "metadata": {"name": "tenant-view"}}
    foreign = Delete("networking.k8s.io/v1", "NetworkPolicy", SPACE, "open", "uid", drift=True)
    pruned = Delete("v1", "Service", SPACE, "tool-old", "uid")
    done = Plan(waves=((Apply(manifest, drift=True), Apply(manifest)), (foreign, pruned)))
    store = ready_store()
    settled = judged(store).status

    verdict = judged(store, previous=settled, done=done)

    assert events(verdict) == [EventReason.DRIFT_REPAIRED, EventReason.FOREIGN_POLICY_REMOVED]
    assert [event.message.partition(":")[0] for event in verdict.events] == [
        "Role tenant-view",
        "NetworkPolicy open",
    ]


def test_status_never_holds_a_planted_secret() -> None:
    """SEC-001: the values pass through render and the store; status is readable by everyone."""
    spec = full()
    store = ready_store(spec)
    store.edit("Secret", namespace(spec), "secret-api-key")["data"]["value"] = "ZXZpbA=="

    text = judged(store, spec).status.model_dump_json()

    assert "planted" not in text
    assert "cGxhbnRlZC" not in text
    assert "secret-api-key" in text
    assert names.namespace("acme", UID) in text
