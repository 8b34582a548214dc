"""What survives a restart: the day's counters, session tokens that were used, the epoch."""

from bulkhead_sandbox.gateway.state.embedded import EmbeddedState
from bulkhead_sandbox.gateway.state.seams import DailyCounters, Epoch, SeenTokens, StateFailed

__all__ = ["DailyCounters", "EmbeddedState", "Epoch", "SeenTokens", "StateFailed"]
