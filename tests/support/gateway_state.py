"""What a gateway remembers, in memory only."""

from __future__ import annotations

__all__ = ["MemoryState"]


class MemoryState:
    """SeenTokens and Epoch."""

    def __init__(self) -> None:
        self._seen: dict[str, bytes] = {}
        self._epoch = 0

    def first_use(self, token_id: str, digest: bytes, expires_at: int) -> bool:  # noqa: ARG002 - as the seam has it
        """Whether the id stands for this token."""
        return self._seen.setdefault(token_id, digest) == digest

    def epoch(self) -> int:
        """The highest that was set."""
        return self._epoch

    async def raise_epoch(self, epoch: int) -> None:
        """Never lower."""
        self._epoch = max(self._epoch, epoch)
