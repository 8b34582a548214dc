"""What to say without evidence: a spec that can never work, a workspace on its way out, a bug of ours."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from bulkhead.api.conditions import ConditionStatus, ConditionType, Reason
from bulkhead.api.events import EventReason
from bulkhead.plan.events import EventRecord
from bulkhead.plan.findings import Finding, condition_of, merged
from bulkhead.plan.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bulkhead.api.status import WorkspaceStatus
    from bulkhead.api.violation import Violation
    from bulkhead.errors import KubeError
    from bulkhead.plan.actions import Plan
    from bulkhead.plan.observed import Observed

__all__ = ["judge_bug", "judge_refused", "judge_teardown"]

_TRUE, _FALSE = ConditionStatus.TRUE, ConditionStatus.FALSE
_PATIENCE: Final = timedelta(seconds=15)  # beyond the grace periods that deletion timestamps already include


def judge_refused(
    violations: Sequence[Violation], *, previous: WorkspaceStatus, generation: int, now: datetime
) -> Verdict:
    """Stalled with every violation named; what already runs, and what was said of it, stays as it is."""
    reason = violations[0].reason
    message = "; ".join(violation.message for violation in violations)
    findings = {
        ConditionType.READY: Finding(_FALSE, reason, message),
        ConditionType.RECONCILING: Finding(_FALSE, reason),
        ConditionType.STALLED: Finding(_TRUE, reason, message),
    }
    status = previous.model_copy(
        update={
            "observed_generation": generation,
            "phase": "Stalled",
            "conditions": merged(previous, findings, generation=generation, now=now),
        }
    )
    before = condition_of(previous, ConditionType.STALLED)
    is_news = before is None or before.status is not _TRUE or before.message != message
    events = (EventRecord(EventReason.INVALID_SPEC, message),) if is_news else ()
    return Verdict(status=status, events=events)


def judge_bug(kind: str, *, previous: WorkspaceStatus, generation: int, now: datetime) -> Verdict:
    """Not Ready, because the operator itself failed; what was said of the layers stays as it was."""
    message = f"the operator met a bug ({kind}), its log has the traceback; tried again"
    findings = {
        ConditionType.READY: Finding(_FALSE, Reason.INTERNAL_ERROR, message),
        ConditionType.RECONCILING: Finding(_TRUE, Reason.INTERNAL_ERROR, message),
        ConditionType.STALLED: Finding(_FALSE, Reason.INTERNAL_ERROR),
    }
    status = previous.model_copy(
        update={
            "observed_generation": generation,
            "phase": previous.phase or "Provisioning",
            "conditions": merged(previous, findings, generation=generation, now=now),
        }
    )
    return Verdict(status=status)


def judge_teardown(
    plan: Plan,
    observed: Observed,
    *,
    previous: WorkspaceStatus,
    generation: int,
    failure: KubeError | None = None,
    now: datetime,
) -> Verdict:
    """Terminating, and once it takes longer than any grace period, what blocks it.

    When `plan.finished`, only the Events matter: the object is gone with its finalizer.
    """
    if plan.finished:
        event = EventRecord(EventReason.TORN_DOWN, "nothing of the workspace is left in the cluster")
        return Verdict(status=previous, events=(event,))
    blocked = bool(plan.waiting_for) and now >= _expected_end(observed, now) + _PATIENCE
    reason = Reason.TEARDOWN_BLOCKED if blocked else Reason.TERMINATING
    message = f"{failure}; tried again" if failure is not None else plan.waiting_for or "being torn down"
    findings = {
        ConditionType.READY: Finding(_FALSE, reason, message),
        ConditionType.RECONCILING: Finding(_TRUE, reason, message),
        ConditionType.STALLED: Finding(_FALSE, reason),
    }
    status = previous.model_copy(
        update={
            "observed_generation": generation,
            "phase": "Terminating",
            "agents": "",
            "conditions": merged(previous, findings, generation=generation, now=now),
        }
    )
    return Verdict(status=status, events=_news(previous, reason, message))


def _expected_end(observed: Observed, now: datetime) -> datetime:
    """When everything that was told to go should have gone; a pod's timestamp includes its grace period."""
    told = [pod["metadata"] for pod in observed.pods]
    if observed.namespace is not None:
        told.append(observed.namespace["metadata"])
    ends = [metadata["deletionTimestamp"] for metadata in told if "deletionTimestamp" in metadata]
    return max((datetime.fromisoformat(end) for end in ends), default=now)


def _news(previous: WorkspaceStatus, reason: Reason, message: str) -> tuple[EventRecord, ...]:
    before = condition_of(previous, ConditionType.READY)
    was = before.reason if before is not None else None
    if was is reason:
        return ()
    if reason is Reason.TEARDOWN_BLOCKED:
        return (EventRecord(EventReason.TEARDOWN_BLOCKED, message),)
    if was is Reason.TEARDOWN_BLOCKED:
        return ()
    return (EventRecord(EventReason.TEARDOWN_STARTED, "access, ways out, pods, then secrets are removed"),)
