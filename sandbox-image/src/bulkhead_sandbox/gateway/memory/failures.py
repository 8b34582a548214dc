"""When nothing can be remembered, or nothing forgotten."""

from __future__ import annotations

from bulkhead_sandbox.problems import Problem, Slug

__all__ = ["MemoryFailed"]


class MemoryFailed(Problem):
    """The caller gets 503; `reason` is for our log and holds no text of a user's."""

    def __init__(self, reason: str) -> None:
        super().__init__(Slug.NOT_READY)
        self.reason = reason
