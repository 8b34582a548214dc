"""As much of the audit log as a handler needs: what it begins, how that ended, and what merely happened."""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Ref", "Trail"]

Ref = Any  # the audit log's own


class Trail(Protocol):
    """Problem(AUDIT_UNAVAILABLE) where nothing can be put on record: then nothing may be done either."""

    async def begin(self, event: str, /, **fields: Any) -> Ref:
        """Durable when this returns: only then may an upstream hear of it."""

    async def end(self, ref: Ref, outcome: str, /, **fields: Any) -> None:
        """How it ended."""

    async def point(self, event: str, outcome: str, /, **fields: Any) -> Any:
        """Something with neither beginning nor end."""
