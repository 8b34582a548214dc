"""What livez and readyz mean: a process that only answers is not alive, one that gets its work done is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Health", "Verdict"]

_OLDEST_ITEM_SECONDS: Final = 600.0  # ten reconcile timeouts: nothing moves any more
# A watch is opened anew at least every 10 minutes (server timeout); twice that is dead.
_OLDEST_WATCH_SECONDS: Final = 1200.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it is well, and the facts behind it."""

    ok: bool
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The facts at one moment."""

    leading: bool
    started: bool  # settings read, API server reached once
    stopping: bool = False
    queue_depth: int = 0
    queue_oldest_seconds: float = 0.0
    watch_age_seconds: Mapping[str, float] = field(default_factory=dict)  # kind -> since it was opened

    def live(self) -> Verdict:
        """False: only a restart can help."""
        stuck = self.queue_oldest_seconds > _OLDEST_ITEM_SECONDS
        blind = [kind for kind, age in self.watch_age_seconds.items() if age > _OLDEST_WATCH_SECONDS]
        return Verdict(not stuck and not blind, self._facts() | {"blind": sorted(blind)})

    def ready(self) -> Verdict:
        """True on standbys too: they are ready to take over, and a rollout must not wait for the Lease."""
        return Verdict(self.started and not self.stopping, self._facts())

    def _facts(self) -> dict[str, object]:
        return {
            "leading": self.leading,
            "queue_depth": self.queue_depth,
            "queue_oldest_seconds": round(self.queue_oldest_seconds, 3),
            "oldest_watch_seconds": round(max(self.watch_age_seconds.values(), default=0.0), 1),
        }
