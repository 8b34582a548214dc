"""Which Events a step is worth: transitions only, so a state that lasts says so once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkhead.api.events import EventReason
from bulkhead.plan.actions import Delete
from bulkhead.render.rendered import ObjectKey, key_of

if TYPE_CHECKING:
    from bulkhead.plan.actions import Action, Plan
    from bulkhead.plan.expiry import Deadline

__all__ = ["EventRecord", "expired", "repairs"]


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One Event on the TenantWorkspace."""

    reason: EventReason
    message: str


def repairs(done: Plan) -> tuple[EventRecord, ...]:
    """What of an executed plan undid somebody else's hand."""
    return tuple(_repair(action) for wave in done.waves for action in wave if action.drift)


def expired(deadline: Deadline) -> EventRecord:
    """The workspace is being deleted because its time is up."""
    message = f"spec.lifecycle.{deadline.kind} ended at {deadline.at:%Y-%m-%dT%H:%M:%SZ}; it is being deleted"
    return EventRecord(EventReason.EXPIRED, message)


def _repair(action: Action) -> EventRecord:
    if not isinstance(action, Delete):
        key = key_of(action.manifest)
        return EventRecord(EventReason.DRIFT_REPAIRED, f"{key}: was edited or deleted, is as rendered again")
    key = ObjectKey(action.kind, action.name)
    if action.kind == "NetworkPolicy":
        return EventRecord(EventReason.FOREIGN_POLICY_REMOVED, f"{key}: not part of this workspace, deleted")
    return EventRecord(EventReason.DRIFT_REPAIRED, f"{key}: could not be mended, deleted to be made again")
