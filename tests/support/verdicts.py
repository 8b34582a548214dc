"""Verdicts over stores, and short ways to read them."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from support.builders import CREATED, effective, runtime, tool
from support.cluster import converge, gathered, namespace
from support.store import Store

from bulkhead.api.conditions import ConditionStatus, ConditionType, Reason
from bulkhead.api.status import WorkspaceStatus
from bulkhead.plan.actions import Plan
from bulkhead.plan.findings import condition_of
from bulkhead.plan.verdict import Verdict, judge

if TYPE_CHECKING:
    from datetime import datetime

    from bulkhead.api.effective import Effective
    from bulkhead.api.events import EventReason
    from bulkhead.api.status import Condition

SPEC = effective(tools=(tool("shell"), tool("search")), runtime=runtime())
SPACE = namespace(SPEC)
NOW = CREATED + timedelta(minutes=1)
NEW = WorkspaceStatus()
TRUE, FALSE, UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


def ready_store(spec: Effective = SPEC) -> Store:
    """A store in which the workspace has converged and its pods run."""
    store = Store()
    converge(store, spec)
    store.tick()
    return store


def judged(
    store: Store,
    spec: Effective = SPEC,
    previous: WorkspaceStatus = NEW,
    *,
    done: Plan | None = None,
    now: datetime = NOW,
    failure: Any = None,
    **observed_fields: Any,
) -> Verdict:
    """The verdict over what the store holds."""
    desired, observed = gathered(store, spec, **observed_fields)
    done = done or Plan()
    return judge(spec, desired, observed, previous=previous, done=done, failure=failure, now=now)


def condition(verdict: Verdict, kind: ConditionType) -> Condition:
    """The condition, which must be there."""
    found = condition_of(verdict.status, kind)
    assert found is not None
    return found


def said(verdict: Verdict, kind: ConditionType) -> tuple[ConditionStatus, Reason]:
    """Status and reason of a condition."""
    found = condition(verdict, kind)
    return found.status, found.reason


def events(verdict: Verdict) -> list[EventReason]:
    """The reasons of the Events."""
    return [event.reason for event in verdict.events]
