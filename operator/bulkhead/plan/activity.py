"""When somebody last used a workspace, as far as anyone knows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bulkhead.api.conditions import ConditionType, Reason

if TYPE_CHECKING:
    from datetime import datetime

    from bulkhead.api.effective import Effective
    from bulkhead.api.status import WorkspaceStatus

__all__ = ["has_resumed", "last_activity"]


def last_activity(
    effective: Effective, previous: WorkspaceStatus, *, heard: datetime | None, now: datetime
) -> datetime | None:
    """The newest of what status remembers, what the gateway said, and a resumption that happens now.

    Without the last one, a workspace that was suspended for longer than its idleTTL would end the moment it
    resumes. Rounded up to the second, in which status keeps it: rounding down would expire early.
    """
    resumed = now if has_resumed(effective, previous) else None
    known = [at for at in (previous.last_activity, heard, resumed) if at is not None]
    if not known:
        return None
    newest = max(known)
    return newest if newest.microsecond == 0 else newest.replace(microsecond=0) + timedelta(seconds=1)


def has_resumed(effective: Effective, previous: WorkspaceStatus) -> bool:
    """Whether status still says Suspended while the spec no longer does."""
    return not effective.lifecycle.suspended and any(
        condition.type is ConditionType.READY and condition.reason is Reason.SUSPENDED
        for condition in previous.conditions
    )
