"""AuditIntact: what one look at a log means, given all looks before it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bulkhead.api.conditions import ConditionStatus, ConditionType, Reason
from bulkhead.api.events import EventReason
from bulkhead.api.status import AuditStatus, WorkspaceStatus
from bulkhead.plan.audit import AuditVerdict, Look, Mark, Seen, judge_audit
from bulkhead.plan.findings import condition_of

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
FIVE, NINE = Mark(5, "5" * 64), Mark(9, "9" * 64)
GROWN = Look(seen=Seen.GROWN, last=FIVE, key_id="k")
SAME = Look(seen=Seen.SAME, last=FIVE, key_id="k")
CUT = Look(seen=Seen.REGRESSED, last=Mark(3, "3" * 64), detail="cut")
UNREACHABLE = Look(seen=Seen.UNREACHABLE, misses=3)


def after(*looks: Look, accepted: str = "", seconds: int = 30) -> AuditVerdict:
    """The verdict of the last look, each judged on what the one before left."""
    verdict = AuditVerdict(WorkspaceStatus())
    for number, look in enumerate(looks):
        last = number == len(looks) - 1
        now = NOW + timedelta(seconds=number * seconds)
        verdict = judge_audit(verdict.status, look, accepted=accepted if last else "", generation=1, now=now)
    return verdict


def said(verdict: AuditVerdict) -> tuple[ConditionStatus, Reason] | None:
    found = condition_of(verdict.status, ConditionType.AUDIT_INTACT)
    return None if found is None else (found.status, found.reason)


def test_the_first_look_anchors_the_log() -> None:
    """From here on it can be held to something."""
    verdict = after(GROWN)

    assert (ConditionStatus.TRUE, Reason.ANCHORED) == said(verdict)
    assert AuditStatus(seq=5, head=FIVE.head, checked_at=NOW, key_id="k") == verdict.status.audit


def test_a_log_that_grew_moves_the_anchor() -> None:
    """Whatever was seen can never be taken away unnoticed."""
    audit = after(GROWN, replace(GROWN, last=NINE)).status.audit

    assert audit is not None
    assert (9, NINE.head, NOW + timedelta(seconds=30)) == (audit.seq, audit.head, audit.checked_at)


def test_a_log_at_rest_changes_nothing() -> None:
    """A no-op look makes no write."""
    assert after(GROWN).status == after(GROWN, SAME, SAME).status


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        (Seen.REGRESSED, Reason.REGRESSED),
        (Seen.FORKED, Reason.FORKED),
        (Seen.BROKEN, Reason.BROKEN),
    ],
)
def test_a_break_is_said_once_and_keeps_the_anchor(seen: Seen, reason: Reason) -> None:
    """The anchor is the only proof of what there was."""
    broken = replace(CUT, seen=seen)
    first, second = after(GROWN, broken), after(GROWN, broken, broken)

    assert (ConditionStatus.FALSE, reason) == said(first) == said(second)
    assert [EventReason.AUDIT_BROKEN] == [event.reason for event in first.events]
    assert () == second.events
    assert after(GROWN).status.audit == first.status.audit == second.status.audit


@pytest.mark.parametrize("later", [SAME, GROWN, UNREACHABLE], ids=["same", "grown", "unreachable"])
def test_a_log_that_was_put_back_stays_broken(later: Look) -> None:
    """It was away, and only a person may say that this is well."""
    assert (ConditionStatus.FALSE, Reason.REGRESSED) == said(after(GROWN, CUT, later))


def test_a_person_can_go_on_from_what_is_left() -> None:
    """By the hash that the message names; the Event says what was accepted."""
    broken = after(GROWN, CUT)
    message = condition_of(broken.status, ConditionType.AUDIT_INTACT)
    verdict = after(GROWN, CUT, CUT, accepted="3" * 64)
    audit = verdict.status.audit

    assert message is not None
    assert f"bulkhead.dev/accept-audit={'3' * 64}" in message.message
    assert (ConditionStatus.TRUE, Reason.ANCHORED) == said(verdict)
    assert [EventReason.AUDIT_ACCEPTED] == [event.reason for event in verdict.events]
    assert audit is not None
    assert 3 == audit.seq


@pytest.mark.parametrize("accepted", ["", "4" * 64, FIVE.head, "*"])
def test_nothing_else_is_accepted(accepted: str) -> None:
    """An annotation that was written in advance, or for another record, opens nothing."""
    assert (ConditionStatus.FALSE, Reason.REGRESSED) == said(after(GROWN, CUT, CUT, accepted=accepted))


def test_an_accepted_log_is_watched_as_before() -> None:
    """The annotation stays on the object; it must not excuse the next cut."""
    status = after(GROWN, CUT, CUT, accepted="3" * 64).status
    again = judge_audit(
        status,
        Look(seen=Seen.REGRESSED, last=Mark(1, "1" * 64), detail="cut"),
        accepted="3" * 64,
        generation=1,
        now=NOW,
    )

    assert (ConditionStatus.FALSE, Reason.REGRESSED) == said(again)


def test_calls_without_records_are_a_break_that_ends() -> None:
    """The log may only have been slow; it is said while it lasts."""
    served = replace(SAME, has_served=True)

    assert (ConditionStatus.FALSE, Reason.STALLED_AUDIT) == said(after(GROWN, served))
    assert (ConditionStatus.TRUE, Reason.ANCHORED) == said(after(GROWN, served, replace(GROWN, last=NINE)))


@pytest.mark.parametrize(("misses", "expected"), [(1, Reason.ANCHORED), (3, Reason.UNREACHABLE)])
def test_silence_is_said_after_three_questions(misses: int, expected: Reason) -> None:
    """A gateway that is being replaced is no news; one that stays silent is, and unknown is not True."""
    verdict = after(GROWN, Look(seen=Seen.UNREACHABLE, misses=misses))
    status = ConditionStatus.TRUE if expected is Reason.ANCHORED else ConditionStatus.UNKNOWN

    assert (status, expected) == said(verdict)
    assert after(GROWN).status.audit == verdict.status.audit


def test_other_conditions_are_left_alone() -> None:
    """They are the reconcile's."""
    verdict = after(GROWN)

    assert [ConditionType.AUDIT_INTACT] == [each.type for each in verdict.status.conditions]
