"""What a check finds, and how findings become conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from bulkhead.api.conditions import ConditionStatus, ConditionType, Reason
from bulkhead.api.status import Condition

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bulkhead.api.status import ClassStatus, WorkspaceStatus

__all__ = ["Finding", "Problem", "condition_of", "listed", "merged"]

_ORDER = {condition_type: index for index, condition_type in enumerate(ConditionType)}
_SHOWN = 5


class Problem(NamedTuple):
    """Why a condition is not True."""

    reason: Reason
    message: str


class Finding(NamedTuple):
    """What a condition shall say."""

    status: ConditionStatus
    reason: Reason
    message: str = ""


def condition_of(status: WorkspaceStatus | ClassStatus, kind: ConditionType) -> Condition | None:
    """The condition of that type, if it was ever written."""
    return next((condition for condition in status.conditions if condition.type is kind), None)


def merged(
    previous: WorkspaceStatus | ClassStatus,
    findings: Mapping[ConditionType, Finding],
    *,
    generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """Previous conditions with the findings over them; the transition time moves only with the status."""
    conditions = {condition.type: condition for condition in previous.conditions}
    moment = now.replace(microsecond=0)  # metav1.Time has whole seconds
    for kind, finding in findings.items():
        before = conditions.get(kind)
        changed = before is None or before.status is not finding.status
        conditions[kind] = Condition(
            type=kind,
            status=finding.status,
            reason=finding.reason,
            message=finding.message,
            observed_generation=generation,
            last_transition_time=moment if before is None or changed else before.last_transition_time,
        )
    return tuple(sorted(conditions.values(), key=lambda condition: _ORDER[condition.type]))


def listed(items: list[str]) -> str:
    """A few of many, in a stable order, so that a message neither grows nor flickers."""
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return f"{', '.join(sorted(items)[:_SHOWN])}{more}"
