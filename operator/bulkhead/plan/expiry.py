"""When a workspace ends: arithmetic on wall-clock times; the earliest deadline wins, none counts early."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkhead.api.effective import Effective

__all__ = ["Deadline", "DeadlineKind", "deadlines", "earliest", "is_expired", "next_change", "warn_at"]

_FOREVER = datetime.max.replace(tzinfo=UTC)


class DeadlineKind(StrEnum):
    """The field of `spec.lifecycle` behind a deadline."""

    TTL = "ttl"
    IDLE_TTL = "idleTTL"
    EXPIRES_AT = "expiresAt"


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment, and the field that sets it."""

    at: datetime
    kind: DeadlineKind


def deadlines(effective: Effective, *, last_activity: datetime | None) -> tuple[Deadline, ...]:
    """Every deadline of the workspace, earliest first.

    The idle clock starts at creation, moves with activity, and stands still while suspended: no one
    can use it then, so its being unused says nothing. `activity.last_activity` starts it anew on resumption.
    """
    lifecycle = effective.lifecycle
    found: list[Deadline] = []
    if lifecycle.ttl_seconds is not None:
        found.append(Deadline(_later(effective.created_at, lifecycle.ttl_seconds), DeadlineKind.TTL))
    if lifecycle.expires_at is not None:
        found.append(Deadline(lifecycle.expires_at, DeadlineKind.EXPIRES_AT))
    if lifecycle.idle_ttl_seconds is not None and not lifecycle.suspended:
        since = max(effective.created_at, last_activity or effective.created_at)
        found.append(Deadline(_later(since, lifecycle.idle_ttl_seconds), DeadlineKind.IDLE_TTL))
    return tuple(sorted(found, key=lambda deadline: deadline.at))


def earliest(listed: Iterable[Deadline]) -> Deadline | None:
    """The deadline that counts, or None: the workspace has no end."""
    return min(listed, key=lambda deadline: deadline.at, default=None)


def is_expired(deadline: Deadline | None, now: datetime) -> bool:
    """Whether the moment has come; never before it."""
    return deadline is not None and now >= deadline.at


def warn_at(deadline: Deadline, warn_before_seconds: int) -> datetime:
    """From when on the condition Expiring is True; a warning time of zero gives no time to warn."""
    try:
        return deadline.at - timedelta(seconds=warn_before_seconds)
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def next_change(effective: Effective, *, last_activity: datetime | None, now: datetime) -> datetime | None:
    """The next moment at which time alone changes what must be done or said: a warning or a deadline."""
    deadline = earliest(deadlines(effective, last_activity=last_activity))
    if deadline is None:
        return None
    warning = warn_at(deadline, effective.lifecycle.warn_before_seconds)
    return warning if now < warning else deadline.at


def _later(start: datetime, seconds: int) -> datetime:
    try:
        return start + timedelta(seconds=seconds)
    except OverflowError:  # beyond the year 9999: as good as never
        return _FOREVER
