"""What the executor can do, as data, in the order it must be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkhead.plan.observed import Manifest

__all__ = ["Action", "Apply", "Delete", "Plan", "Replace"]


@dataclass(frozen=True, slots=True)
class Apply:
    """Server-side apply; creates what is missing."""

    manifest: Manifest
    drift: bool = False  # the object existed and had been edited: worth an Event and a metric


@dataclass(frozen=True, slots=True)
class Replace:
    """PUT with the live UID and resourceVersion: the only way to remove fields that somebody else owns."""

    manifest: Manifest
    drift: bool = True


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete exactly the object with this UID."""

    api_version: str
    kind: str
    namespace: str | None
    name: str
    uid: str
    drift: bool = False  # a foreign object that weakens isolation was removed


Action = Apply | Replace | Delete


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Waves are executed one after another; the actions inside a wave may run side by side."""

    waves: tuple[tuple[Action, ...], ...] = ()
    waiting_for: str = ""  # what must happen in the cluster before the next wave; empty: nothing
    requeue_after_seconds: float | None = None
    finished: bool = field(default=False)  # teardown only: the finalizer may go

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not any(self.waves)
