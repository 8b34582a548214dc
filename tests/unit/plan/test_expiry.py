"""Deadlines: which one counts, and never a moment early."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from support.builders import CREATED, LIFECYCLE, effective

from bulkhead.api.status import WorkspaceStatus
from bulkhead.plan.activity import last_activity
from bulkhead.plan.expiry import Deadline, DeadlineKind, deadlines, earliest, is_expired, next_change

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective, EffectiveLifecycle

NONE = replace(LIFECYCLE, ttl_seconds=None)


def _spec(lifecycle: EffectiveLifecycle) -> Effective:
    return effective(lifecycle=lifecycle)


def _after(seconds: float) -> datetime:
    return CREATED + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("lifecycle", "active", "expected"),
    [
        (NONE, None, None),
        (replace(NONE, ttl_seconds=60), None, Deadline(_after(60), DeadlineKind.TTL)),
        (replace(NONE, expires_at=_after(90)), None, Deadline(_after(90), DeadlineKind.EXPIRES_AT)),
        (replace(NONE, idle_ttl_seconds=30), None, Deadline(_after(30), DeadlineKind.IDLE_TTL)),
        (replace(NONE, idle_ttl_seconds=30), 100, Deadline(_after(130), DeadlineKind.IDLE_TTL)),
        (replace(NONE, idle_ttl_seconds=30), -100, Deadline(_after(30), DeadlineKind.IDLE_TTL)),
        (replace(NONE, ttl_seconds=60, idle_ttl_seconds=30), 40, Deadline(_after(60), DeadlineKind.TTL)),
        (replace(NONE, ttl_seconds=60, expires_at=_after(59)), None,
         Deadline(_after(59), DeadlineKind.EXPIRES_AT)),
        (replace(NONE, idle_ttl_seconds=30, suspended=True), None, None),
        (replace(NONE, ttl_seconds=60, suspended=True), None, Deadline(_after(60), DeadlineKind.TTL)),
    ],
    ids=[
        "none", "ttl", "absolute", "idle from creation", "idle from activity", "activity before creation",
        "activity cannot outlive the ttl", "the earliest wins", "no idling while suspended", "ttl goes on",
    ],
)  # fmt: skip
def test_the_earliest_deadline_counts(
    lifecycle: EffectiveLifecycle, active: int | None, expected: Deadline | None
) -> None:
    """Each field of spec.lifecycle ends the workspace, and only the first of them."""
    moved = None if active is None else _after(active)

    assert earliest(deadlines(_spec(lifecycle), last_activity=moved)) == expected


def test_expired_at_the_moment_and_not_before() -> None:
    """A second early is data lost; a second late is a promise broken."""
    deadline = Deadline(_after(60), DeadlineKind.TTL)

    assert not is_expired(deadline, _after(60) - timedelta(microseconds=1))
    assert is_expired(deadline, _after(60))
    assert not is_expired(None, datetime.max.replace(tzinfo=UTC))


def test_the_next_change_is_first_the_warning_then_the_end() -> None:
    """One wake-up for each, however early the warning starts."""
    spec = _spec(replace(NONE, ttl_seconds=1000, warn_before_seconds=100))

    assert next_change(spec, last_activity=None, now=_after(0)) == _after(900)
    assert next_change(spec, last_activity=None, now=_after(900)) == _after(1000)
    assert next_change(spec, last_activity=None, now=_after(5000)) == _after(1000)


def test_a_ttl_of_ten_thousand_years_is_no_crash() -> None:
    """The schema allows it; datetime does not."""
    spec = _spec(replace(NONE, ttl_seconds=10**12, warn_before_seconds=10**12))

    deadline = earliest(deadlines(spec, last_activity=None))

    assert deadline is not None
    assert not is_expired(deadline, _after(10**9))
    assert next_change(spec, last_activity=None, now=_after(0)) == deadline.at


def test_activity_is_rounded_up_to_what_status_can_keep() -> None:
    """Rounded down, the idle deadline would come up to a second early."""
    heard = CREATED + timedelta(milliseconds=200)

    known = last_activity(effective(), WorkspaceStatus(), heard=heard, now=CREATED)

    assert known == _after(1)


def test_the_newest_activity_counts() -> None:
    """A restarted gateway knows less than status does."""
    previous = WorkspaceStatus(last_activity=_after(50))

    assert last_activity(effective(), previous, heard=_after(20), now=_after(99)) == _after(50)
    assert last_activity(effective(), previous, heard=_after(80), now=_after(99)) == _after(80)
    assert last_activity(effective(), WorkspaceStatus(), heard=None, now=_after(99)) is None
