"""What is said of specs that cannot work and of workspaces on their way out."""

from __future__ import annotations

from datetime import timedelta

from support.verdicts import (
    FALSE,
    NEW,
    NOW,
    TRUE,
    condition,
    events,
    judged,
    ready_store,
    said,
)

from bulkhead.api.conditions import ConditionType as Kind
from bulkhead.api.conditions import Reason
from bulkhead.api.events import EventReason
from bulkhead.api.violation import Violation
from bulkhead.plan.actions import Plan
from bulkhead.plan.observed import Observed
from bulkhead.plan.refusal import judge_refused, judge_teardown


def test_a_refused_spec_stalls_names_every_field_and_keeps_what_is_known() -> None:
    """What runs goes on running: its namespace and gateway must stay findable."""
    known = judged(ready_store()).status
    violations = [
        Violation(Reason.EXCEEDS_CLASS, "spec.lifecycle.ttl", "3h", "at most 2h"),
        Violation(Reason.INVALID_SPEC, "spec.tools[1].name", "a", "unique names"),
    ]

    verdict = judge_refused(violations, previous=known, generation=2, now=NOW)
    again = judge_refused(violations, previous=verdict.status, generation=2, now=NOW)

    assert said(verdict, Kind.STALLED) == (TRUE, Reason.EXCEEDS_CLASS)
    assert said(verdict, Kind.READY) == (FALSE, Reason.EXCEEDS_CLASS)
    for word in ("spec.lifecycle.ttl", "3h", "at most 2h", "spec.tools[1].name"):
        assert word in condition(verdict, Kind.STALLED).message
    assert verdict.status.namespace == known.namespace
    assert events(verdict) == [EventReason.INVALID_SPEC]
    assert again.status == verdict.status
    assert again.events == ()


def test_teardown_is_told_from_blocked_teardown() -> None:
    """Pods with a grace period are no blockade; a finalizer that outlasts it is."""
    going = {"metadata": {"name": "p", "deletionTimestamp": "2026-11-01T08:01:30Z"}}
    observed = Observed(pods=(going,))
    plan = Plan(waiting_for="Pod p (finalizers example.com/hold): to be gone")

    first = judge_teardown(plan, observed, previous=NEW, generation=1, now=NOW)
    within = judge_teardown(
        plan, observed, previous=first.status, generation=1, now=NOW + timedelta(seconds=44)
    )
    beyond = judge_teardown(
        plan, observed, previous=within.status, generation=1, now=NOW + timedelta(seconds=45)
    )
    done = judge_teardown(Plan(finished=True), Observed(), previous=beyond.status, generation=1, now=NOW)

    assert said(first, Kind.READY) == (FALSE, Reason.TERMINATING)
    assert events(first) == [EventReason.TEARDOWN_STARTED]
    assert within.events == ()
    assert said(beyond, Kind.READY) == (FALSE, Reason.TEARDOWN_BLOCKED)
    assert "example.com/hold" in condition(beyond, Kind.READY).message
    assert events(beyond) == [EventReason.TEARDOWN_BLOCKED]
    assert beyond.status.phase == "Terminating"
    assert events(done) == [EventReason.TORN_DOWN]
