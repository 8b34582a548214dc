"""Whether a gateway's audit log goes on from where the operator left it. Pure.

The log alone proves that nothing inside it was changed. Where it ends, only somebody outside can know: that
is `status.audit`. It never goes back by itself; a log that was cut stays False until a person accepts it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.api.conditions import ConditionStatus, ConditionType, Reason
from bulkhead.api.events import EventReason
from bulkhead.api.status import AuditStatus
from bulkhead.plan.events import EventRecord
from bulkhead.plan.findings import Finding, condition_of, merged

if TYPE_CHECKING:
    from datetime import datetime

    from bulkhead.api.status import WorkspaceStatus

__all__ = ["AuditVerdict", "Look", "Mark", "Seen", "judge_audit"]

_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
# Nothing but a person's word ends these: what is missing does not come back.
_LASTING: Final = frozenset({Reason.REGRESSED, Reason.FORKED, Reason.BROKEN})
_PATIENCE: Final = 3  # looks without an answer before it is said


@dataclass(frozen=True, slots=True)
class Mark:
    """One record of a log."""

    seq: int
    head: str


class Seen(Enum):
    """What a look showed."""

    GROWN = auto()  # fits, and is longer than before, or seen for the first time
    SAME = auto()
    UNREACHABLE = auto()
    REGRESSED = auto()
    FORKED = auto()
    BROKEN = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at one gateway."""

    seen: Seen
    last: Mark | None = None  # the newest record that was checked; after a break, the log's own end
    key_id: str = ""
    detail: str = ""  # what exactly does not fit
    has_served: bool = False  # sessions, since the anchor was written
    misses: int = 0  # looks in a row without an answer, this one included


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """The status to write if it differs, and Events to post."""

    status: WorkspaceStatus
    events: tuple[EventRecord, ...] = ()


def judge_audit(
    previous: WorkspaceStatus, look: Look, *, accepted: str, generation: int, now: datetime
) -> AuditVerdict:
    """`accepted`: the hash that a person wrote into the annotation, or empty."""
    before = condition_of(previous, ConditionType.AUDIT_INTACT)
    lasting = before is not None and before.status is _FALSE and before.reason in _LASTING
    broken = _break(previous.audit, look)
    if look.last is not None and accepted == look.last.head and (lasting or broken is not None):
        text = f"record {look.last.seq}, {look.last.head}, was accepted as the end of the audit log"
        finding, anchor = Finding(_TRUE, Reason.ANCHORED), _anchor(look, now)
        return _verdict(
            previous, anchor, finding, generation, now, (EventRecord(EventReason.AUDIT_ACCEPTED, text),)
        )
    if broken is not None:
        events = () if lasting else (EventRecord(EventReason.AUDIT_BROKEN, broken.message),)
        return _verdict(previous, previous.audit, broken, generation, now, events)
    # What lasts: somebody put the old log back, and that it was away is still true.
    if lasting or (look.seen is Seen.UNREACHABLE and look.misses < _PATIENCE):
        return AuditVerdict(previous)
    if look.seen is Seen.UNREACHABLE:
        message = f"no answer to {_PATIENCE} questions or more; {look.detail}".rstrip("; ")
        finding = Finding(_UNKNOWN, Reason.UNREACHABLE, message)
    elif look.seen is Seen.SAME and look.has_served:
        message = "sessions were served since the last record; see the gateway's log"
        finding = Finding(_FALSE, Reason.STALLED_AUDIT, message)
    else:
        finding = Finding(_TRUE, Reason.ANCHORED)
    anchor = _anchor(look, now) if look.seen is Seen.GROWN else previous.audit
    return _verdict(previous, anchor, finding, generation, now)


def _break(anchor: AuditStatus | None, look: Look) -> Finding | None:
    reason = {
        Seen.REGRESSED: Reason.REGRESSED,
        Seen.FORKED: Reason.FORKED,
        Seen.BROKEN: Reason.BROKEN,
    }.get(look.seen)
    if reason is None:
        return None
    held = f"the log is held to record {anchor.seq}, {anchor.head}" if anchor else "the log is new"
    found = f"; it ends at record {look.last.seq}, {look.last.head}" if look.last else ""
    accept = (
        f"; to go on from there, annotate the workspace with {names.ACCEPT_AUDIT_ANNOTATION}={look.last.head}"
        if look.last
        else ""
    )
    return Finding(_FALSE, reason, f"{look.detail}; {held}{found}{accept}")


def _anchor(look: Look, now: datetime) -> AuditStatus | None:
    if look.last is None:
        return None
    return AuditStatus(
        seq=look.last.seq,
        head=look.last.head,
        checked_at=now.replace(microsecond=0),
        key_id=look.key_id,
    )


def _verdict(
    previous: WorkspaceStatus,
    anchor: AuditStatus | None,
    finding: Finding,
    generation: int,
    now: datetime,
    events: tuple[EventRecord, ...] = (),
) -> AuditVerdict:
    conditions = merged(previous, {ConditionType.AUDIT_INTACT: finding}, generation=generation, now=now)
    return AuditVerdict(previous.model_copy(update={"audit": anchor, "conditions": conditions}), events)
