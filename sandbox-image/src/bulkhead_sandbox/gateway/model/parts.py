"""What model calls are made with: handed in once, shared by chat and embeddings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from bulkhead_sandbox.gateway.limits import Ratio

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.config import ModelConfig
    from bulkhead_sandbox.gateway.content import Scanner, Tags
    from bulkhead_sandbox.gateway.limits import Limiter
    from bulkhead_sandbox.gateway.model.metrics import ModelMetrics
    from bulkhead_sandbox.gateway.model.salt import CacheSalt
    from bulkhead_sandbox.gateway.model.upstream import Upstream
    from bulkhead_sandbox.gateway.security import SecurityEvents
    from bulkhead_sandbox.gateway.trail import Trail

__all__ = ["History", "Model", "Parts"]


class History(Protocol):
    """Conversations of a subject; Problem(NOT_FOUND) for a handle that is not the subject's."""

    async def messages(self, subject: str, handle: str) -> list[dict[str, Any]]:
        """What was said so far, the oldest first."""

    async def append(self, subject: str, handle: str, messages: Sequence[dict[str, Any]]) -> int:
        """One more turn; how many old ones had to go for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """`clock`: seconds that never go back; `wall`: since 1970; `mac`: keyed, hexadecimal, for the record."""

    limiter: Limiter
    audit: Trail
    security: SecurityEvents
    tags: Tags
    scanner: Scanner
    history: History
    salt: CacheSalt
    metrics: ModelMetrics
    mac: Callable[[bytes], str]
    random_bytes: Callable[[int], bytes]
    clock: Clock
    wall: Clock


@dataclass(frozen=True, slots=True)
class Model:
    """One model of the class, the way to it, and what is known of its tokens."""

    config: ModelConfig
    upstream: Upstream
    ratio: Ratio = field(default_factory=Ratio)
