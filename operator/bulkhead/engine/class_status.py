"""What to say about a class: can the cluster run it, and who uses it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkhead.api.conditions import ConditionStatus, ConditionType, Reason
from bulkhead.api.effective import Isolation
from bulkhead.api.events import EventReason
from bulkhead.api.parse import parse_class
from bulkhead.api.status import ClassStatus
from bulkhead.plan.events import EventRecord
from bulkhead.plan.findings import Finding, Problem, condition_of, listed, merged
from bulkhead.plan.placement import isolation_problem

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from bulkhead.api.parse import ParsedClass
    from bulkhead.plan.facts import ClusterFacts
    from bulkhead.plan.observed import Manifest

__all__ = ["ClassVerdict", "judge_class"]

_TRUE, _FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassVerdict:
    """The status to write if it differs, and Events to post."""

    cls: ParsedClass
    previous: ClassStatus
    status: ClassStatus
    events: tuple[EventRecord, ...]
    is_unfit: bool  # the cluster cannot run it now: time alone may change that


def judge_class(
    live: Manifest, users: Sequence[str], facts: ClusterFacts | None, now: datetime
) -> ClassVerdict:
    """Unchanged facts give an equal status, so nothing is written."""
    cls = parse_class(live)
    previous = cls.status
    going = "deletionTimestamp" in live["metadata"]
    problem = _problem(cls, facts)
    findings = {
        ConditionType.READY: Finding(_FALSE, *problem) if problem else Finding(_TRUE, Reason.READY),
        ConditionType.IN_USE: _in_use(users, going=going),
    }
    status = ClassStatus(
        observed_generation=cls.generation,
        workspaces=len(users),
        conditions=merged(previous, findings, generation=cls.generation, now=now),
    )
    unfit = problem is not None and problem.reason is not Reason.INVALID_SPEC
    return ClassVerdict(
        cls=cls,
        previous=previous,
        status=status,
        events=_events(previous, status, going=going and bool(users)),
        is_unfit=unfit,
    )


def _problem(cls: ParsedClass, facts: ClusterFacts | None) -> Problem | None:
    if isinstance(cls.spec, tuple):
        return Problem(Reason.INVALID_SPEC, "; ".join(each.message for each in cls.spec))
    return isolation_problem(Isolation.of_class(cls.spec), facts)


def _in_use(users: Sequence[str], *, going: bool) -> Finding:
    if not users:
        return Finding(_FALSE, Reason.NOT_IN_USE)
    waits = "; deletion waits until none is left, and no new workspace may choose it" if going else ""
    return Finding(_TRUE, Reason.IN_USE, f"used by {listed(list(users))}{waits}")


def _events(previous: ClassStatus, status: ClassStatus, *, going: bool) -> tuple[EventRecord, ...]:
    """Transitions only."""
    found = []
    before, after = (condition_of(each, ConditionType.READY) for each in (previous, status))
    if after is not None and after.status is _FALSE and (before is None or before.reason is not after.reason):
        reasons = {
            Reason.INVALID_SPEC: EventReason.INVALID_SPEC,
        }
        found.append(EventRecord(reasons.get(after.reason, EventReason.CLASS_NOT_READY), after.message))
    held, before = (condition_of(each, ConditionType.IN_USE) for each in (status, previous))
    waited = before is not None and "deletion waits" in before.message
    if going and held is not None and not waited:
        found.append(EventRecord(EventReason.CLASS_IN_USE, held.message))
    return tuple(found)
