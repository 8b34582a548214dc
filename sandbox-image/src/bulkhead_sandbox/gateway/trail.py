"""As much of the audit log as a handler needs: what it begins, how that ended, and what merely happened."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["Ending", "Ref", "Trail", "recorded"]

Ref = Any  # the audit log's own


class Trail(Protocol):
    """Problem(AUDIT_UNAVAILABLE) where nothing can be put on record: then nothing may be done either."""

    async def begin(self, event: str, /, **fields: Any) -> Ref:
        """Durable when this returns: only then may an upstream hear of it."""

    async def end(self, ref: Ref, outcome: str, /, **fields: Any) -> None:
        """How it ended."""

    async def point(self, event: str, outcome: str, /, **fields: Any) -> Any:
        """Something with neither beginning nor end."""


@dataclass(slots=True)
class Ending:
    """What the second record says."""

    outcome: str = "allow"
    fields: dict[str, Any] = field(default_factory=dict)


@asynccontextmanager
async def recorded(audit: Trail, event: str, **fields: Any) -> AsyncIterator[Ending]:
    """Work between its two records; however it ends, the second one is made and says so."""
    ref = await audit.begin(event, **fields)
    ending = Ending()
    try:
        yield ending
    except Problem as problem:
        if ending.outcome == "allow":
            ending.outcome = "error"
        ending.fields.setdefault("why", problem.slug.slug)
        raise
    except asyncio.CancelledError:
        ending.outcome = "truncated"
        ending.fields["why"] = "client-left"
        raise
    except BaseException:
        ending.outcome = "error"
        ending.fields["why"] = Slug.INTERNAL.slug
        raise
    finally:
        await audit.end(ref, ending.outcome, **ending.fields)
