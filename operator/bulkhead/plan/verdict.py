"""What to say about a workspace: conditions, columns and Events, from evidence and the status before.

Conditions follow kstatus: `Reconciling` while work is under way, `Stalled` when a person is needed, `Ready`
when everything serves. Unchanged evidence gives an equal status, so nothing is written.

The provision deadline is measured from when Reconciling last turned True: creation, resumption, or an edit or
loss of a workspace that had come to rest. An edit in the middle of provisioning buys no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.api.conditions import ConditionStatus, ConditionType, Reason
from bulkhead.api.events import EventReason
from bulkhead.api.status import GatewayStatus, NamespaceRef, WorkspaceStatus
from bulkhead.errors import KubeError, NamespaceTerminating, QuotaExceeded
from bulkhead.plan.activity import has_resumed, last_activity
from bulkhead.plan.checks import (
    CHECKS,
    Evidence,
    everything_in_place,
    first_problem,
    lost_sources,
    namespace_conflict,
)
from bulkhead.plan.events import EventRecord, repairs
from bulkhead.plan.expiry import deadlines, earliest, warn_at
from bulkhead.plan.findings import Finding, Problem, condition_of, merged
from bulkhead.plan.ownership import namespace_is_ours
from bulkhead.plan.placement import QUOTA_BEYOND, quota_beyond_nodes
from bulkhead.plan.workloads import available_pods, guard_patience_seconds
from bulkhead.render.rendered import ObjectKey

if TYPE_CHECKING:
    from datetime import datetime

    from bulkhead.api.effective import Effective
    from bulkhead.plan.actions import Plan
    from bulkhead.plan.observed import Observed
    from bulkhead.render.rendered import Rendered

__all__ = ["Verdict", "accept", "judge"]

_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
_CONFLICT_SECONDS: Final = 60.0  # a foreign namespace is not watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The status to write if it differs, Events to post, and when time alone may change the answer."""

    status: WorkspaceStatus
    events: tuple[EventRecord, ...] = ()
    requeue_after_seconds: float | None = None


def accept(effective: Effective, previous: WorkspaceStatus, now: datetime) -> Verdict | None:
    """Ready=Unknown, Reconciling=True for a new generation, else None; written before all work."""
    if previous.observed_generation == effective.generation and previous.conditions:
        return None
    message = f"working towards generation {effective.generation}"
    activity = last_activity(effective, previous, heard=None, now=now)
    findings = {
        ConditionType.READY: Finding(_UNKNOWN, Reason.PROVISIONING, message),
        ConditionType.RECONCILING: Finding(_TRUE, Reason.PROVISIONING, message),
        ConditionType.STALLED: Finding(_FALSE, Reason.PROVISIONING),
    }
    status = previous.model_copy(
        update={
            "observed_generation": effective.generation,
            "phase": previous.phase or "Provisioning",
            "expires_at": _expires_at(effective, activity),
            "last_activity": activity,
            "conditions": merged(previous, findings, generation=effective.generation, now=now),
        }
    )
    resumed = EventRecord(EventReason.RESUMED, "spec.lifecycle.suspended is false; pods are coming back")
    return Verdict(status=status, events=(resumed,) if has_resumed(effective, previous) else ())


def judge(
    effective: Effective,
    desired: Rendered,
    observed: Observed,
    *,
    previous: WorkspaceStatus,
    done: Plan,
    failure: KubeError | None = None,
    now: datetime,
) -> Verdict:
    """The status after a round: `done` is what was executed, `failure` what the API server refused."""
    evidence = Evidence(effective, desired, observed, now)
    conflict = namespace_conflict(evidence)
    activity = last_activity(effective, previous, heard=observed.last_activity, now=now)
    findings = _aspects(evidence) if conflict is None else _conflict_only(conflict)
    problem = conflict or _worst(evidence, findings, failure)
    stalled, wait_seconds = _stalled(evidence, previous, problem, now)
    findings |= _summary(evidence, problem, stalled)
    findings[ConditionType.EXPIRING] = _expiring(effective, activity, now)
    status = WorkspaceStatus(
        observed_generation=effective.generation,
        phase=_phase(previous, problem, stalled),
        namespace=_namespace(evidence),
        gateway=_gateway(evidence, previous),
        agents=_agents(evidence),
        expires_at=_expires_at(effective, activity),
        last_activity=activity,
        audit=previous.audit,
        conditions=merged(previous, findings, generation=effective.generation, now=now),
    )
    return Verdict(
        status=status,
        events=(*repairs(done), *_transitions(previous, status)),
        requeue_after_seconds=_CONFLICT_SECONDS
        if conflict
        else _earlier(wait_seconds, guard_patience_seconds(observed.pods, now)),
    )


def _namespace(evidence: Evidence) -> NamespaceRef | None:
    live = evidence.observed.namespace
    if live is None or not namespace_is_ours(evidence.observed, evidence.effective.uid):
        return None
    return NamespaceRef(name=live["metadata"]["name"], uid=live["metadata"]["uid"])


def _gateway(evidence: Evidence, previous: WorkspaceStatus) -> GatewayStatus | None:
    if _namespace(evidence) is None or ObjectKey("Service", names.GATEWAY) not in evidence.observed.objects:
        return None
    epoch = evidence.effective.session_epoch
    if evidence.observed.unrevoked:
        epoch = previous.gateway.session_epoch if previous.gateway else 0
    return GatewayStatus(url=evidence.desired.gateway_url, session_epoch=epoch)


def _aspects(evidence: Evidence) -> dict[ConditionType, Finding]:
    """One finding a chain of checks."""
    findings: dict[ConditionType, Finding] = {}
    for kind, checks in CHECKS.items():
        problem = first_problem(checks, evidence)
        if problem is not None:
            findings[kind] = Finding(_FALSE, problem.reason, problem.message)
        elif _is_requested(kind, evidence.effective):
            findings[kind] = Finding(_TRUE, Reason.READY, _remarks(kind, evidence))
        else:
            findings[kind] = Finding(_TRUE, Reason.NOT_REQUESTED, "the spec asks for none")
    return findings


def _remarks(kind: ConditionType, evidence: Evidence) -> str:
    """What was done otherwise than asked, or will not work out, though nothing is wrong."""
    if kind is ConditionType.NETWORK_ISOLATED:
        return "; ".join(evidence.effective.remarks)
    if kind is ConditionType.QUOTA_APPLIED:
        return quota_beyond_nodes(evidence.effective, evidence.observed.cluster)
    return ""


def _conflict_only(conflict: Problem) -> dict[ConditionType, Finding]:
    """What is inside a foreign namespace says nothing about this workspace."""
    return {ConditionType.NAMESPACE_READY: Finding(_FALSE, conflict.reason, conflict.message)}


def _is_requested(kind: ConditionType, effective: Effective) -> bool:
    if kind is ConditionType.RUNTIME_READY:
        return effective.runtime is not None
    return bool(effective.tools) if kind is ConditionType.TOOLS_READY else True


def _worst(
    evidence: Evidence, findings: dict[ConditionType, Finding], failure: KubeError | None
) -> Problem | None:
    """Why the workspace is not Ready: what a person can act on comes before what only needs patience."""
    if evidence.effective.lifecycle.suspended and failure is None:
        return Problem(Reason.SUSPENDED, findings[ConditionType.GATEWAY_READY].message)
    problems = [
        Problem(f.reason, f"{kind}: {f.message}")
        for kind, f in findings.items()
        if f.status is _FALSE and not _is_only_stale(kind, f, evidence)
    ]
    if failure is not None:
        problems.insert(0, _said(failure))
    in_place = everything_in_place(evidence)
    if in_place is not None:
        problems.append(in_place)
    return min(problems, key=lambda problem: problem.reason is Reason.PROVISIONING, default=None)


def _is_only_stale(kind: ConditionType, finding: Finding, evidence: Evidence) -> bool:
    """A source that vanished takes nothing from a workspace that has its value."""
    missing = (ConditionType.SECRETS_SYNCED, Reason.SECRET_SOURCE_MISSING)
    return (kind, finding.reason) == missing and not lost_sources(evidence)


def _earlier(one: float | None, other: float | None) -> float | None:
    return min((seconds for seconds in (one, other) if seconds is not None), default=None)


def _said(failure: KubeError) -> Problem:
    if isinstance(failure, QuotaExceeded):
        return Problem(Reason.QUOTA_EXCEEDED, f"{failure}; raise spec.quota")
    if isinstance(failure, NamespaceTerminating):
        return Problem(Reason.PROVISIONING, str(failure))
    return Problem(Reason.API_ERROR, str(failure))


def _stalled(
    evidence: Evidence, previous: WorkspaceStatus, problem: Problem | None, now: datetime
) -> tuple[Problem | None, float | None]:
    """Whether a person is needed, and in how many seconds time alone would say so."""
    if problem is None or problem.reason is Reason.SUSPENDED:
        return None, None
    if problem.reason is Reason.NAMESPACE_CONFLICT:
        return problem, None
    effective = evidence.effective
    late = Problem(
        Reason.PROVISION_DEADLINE_EXCEEDED,
        f"not Ready within {effective.lifecycle.provision_deadline_seconds} s: {problem.message}",
    )
    before = condition_of(previous, ConditionType.STALLED)
    if (
        before is not None
        and before.status is _TRUE
        and before.reason is Reason.PROVISION_DEADLINE_EXCEEDED
        and before.observed_generation == effective.generation
    ):
        return late, None
    working = condition_of(previous, ConditionType.RECONCILING)
    since = working.last_transition_time if working is not None and working.status is _TRUE else now
    due = since + timedelta(seconds=effective.lifecycle.provision_deadline_seconds)
    return (late, None) if now >= due else (None, (due - now).total_seconds())


def _summary(
    evidence: Evidence, problem: Problem | None, stalled: Problem | None
) -> dict[ConditionType, Finding]:
    """Ready, Reconciling and Stalled; at most one of the last two is True."""
    if problem is None:
        return {
            ConditionType.READY: Finding(_TRUE, Reason.READY, "everything that the spec asks for serves"),
            ConditionType.RECONCILING: Finding(_FALSE, Reason.READY),
            ConditionType.STALLED: Finding(_FALSE, Reason.READY),
        }
    at_rest = problem.reason is Reason.SUSPENDED and not evidence.observed.pods
    working = stalled is None and not (at_rest and everything_in_place(evidence) is None)
    blocked = stalled or Problem(problem.reason, "")
    return {
        ConditionType.READY: Finding(_FALSE, problem.reason, problem.message),
        ConditionType.RECONCILING: Finding(
            _TRUE if working else _FALSE, problem.reason, problem.message if working else ""
        ),
        ConditionType.STALLED: Finding(_TRUE if stalled else _FALSE, blocked.reason, blocked.message),
    }


def _expiring(effective: Effective, activity: datetime | None, now: datetime) -> Finding:
    deadline = earliest(deadlines(effective, last_activity=activity))
    if deadline is None or now < warn_at(deadline, effective.lifecycle.warn_before_seconds):
        return Finding(_FALSE, Reason.NOT_EXPIRING)
    message = f"spec.lifecycle.{deadline.kind} ends at {deadline.at:%Y-%m-%dT%H:%M:%SZ}; edit it to extend"
    return Finding(_TRUE, Reason.EXPIRES_SOON, message)


def _expires_at(effective: Effective, activity: datetime | None) -> datetime | None:
    deadline = earliest(deadlines(effective, last_activity=activity))
    return None if deadline is None else deadline.at


def _agents(evidence: Evidence) -> str:
    """Pods of runtime and tools, available of wanted; what is wanted counts while suspended too."""
    effective, objects = evidence.effective, evidence.observed.objects
    wanted = len(effective.tools) + (effective.runtime.replicas if effective.runtime else 0)
    agents = [names.tool(tool.name) for tool in effective.tools] + [names.RUNTIME] * bool(effective.runtime)
    available = sum(available_pods(objects.get(ObjectKey("Deployment", name))) for name in agents)
    return f"{min(available, wanted)}/{wanted}"


def _phase(previous: WorkspaceStatus, problem: Problem | None, stalled: Problem | None) -> str:
    """One word for people; whether it has served before tells Provisioning from Degraded."""
    if problem is None:
        return "Ready"
    if problem.reason is Reason.SUSPENDED:
        return "Suspended"
    if stalled is not None:
        return "Stalled"
    if previous.phase in {"Suspended", "Resuming"}:
        return "Resuming"
    return "Degraded" if previous.phase in {"Ready", "Degraded"} else "Provisioning"


def _transitions(previous: WorkspaceStatus, status: WorkspaceStatus) -> tuple[EventRecord, ...]:
    """Events for conditions that changed for the worse, or for good."""
    events: list[EventRecord] = []
    for kind, reason, event in _NEWS:
        after = condition_of(status, kind)
        if after is None or after.reason is not reason:
            continue
        before = condition_of(previous, kind)
        if before is None or before.reason is not reason:
            events.append(EventRecord(event, after.message))
    quota = _said_of_quota(status)
    if quota.startswith(QUOTA_BEYOND) and not _said_of_quota(previous).startswith(QUOTA_BEYOND):
        events.append(EventRecord(EventReason.QUOTA_EXCEEDS_NODES, quota))
    if status.phase == "Ready" and previous.phase in {"", "Provisioning", "Stalled"}:
        events.append(EventRecord(EventReason.PROVISIONED, "everything that the spec asks for serves"))
    return tuple(events)


def _said_of_quota(status: WorkspaceStatus) -> str:
    condition = condition_of(status, ConditionType.QUOTA_APPLIED)
    return "" if condition is None else condition.message


_NEWS: Final = (
    (ConditionType.READY, Reason.SUSPENDED, EventReason.SUSPENDED),
    (ConditionType.EXPIRING, Reason.EXPIRES_SOON, EventReason.EXPIRING),
    (ConditionType.STALLED, Reason.NAMESPACE_CONFLICT, EventReason.NAMESPACE_CONFLICT),
    (ConditionType.STALLED, Reason.PROVISION_DEADLINE_EXCEEDED, EventReason.PROVISION_DEADLINE_EXCEEDED),
    (ConditionType.SECRETS_SYNCED, Reason.SECRET_SOURCE_MISSING, EventReason.SECRET_SOURCE_MISSING),
)
