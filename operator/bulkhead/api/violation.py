"""Why a spec can never work as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkhead.api.conditions import Reason

__all__ = ["Violation"]


@dataclass(frozen=True, slots=True)
class Violation:
    """Names the field, what was given and what is allowed."""

    reason: Reason  # InvalidSpec, ExceedsClass or UnknownClass
    field: str  # as the user writes it: spec.tools[0].port
    given: str
    allowed: str  # completes "allowed: ..."

    @property
    def message(self) -> str:
        """One line for a condition or an Event."""
        return f"{self.field}: {self.given} is not allowed; allowed: {self.allowed}"
