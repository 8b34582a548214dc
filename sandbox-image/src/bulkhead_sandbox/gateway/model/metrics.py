"""What is measured of model calls; no label ever holds a user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import Counter, Histogram

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

__all__ = ["ModelMetrics"]

_OWN_SECONDS: Final = (0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.025, 0.05, 0.1)
_MODEL_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class ModelMetrics:
    """Registered with the gateway's own."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.overhead_seconds = Histogram(
            "bulkhead_gw_overhead_seconds",
            "What the gateway itself adds to a model call: all but waiting for the model.",
            buckets=_OWN_SECONDS,
            registry=registry,
        )
        self.upstream_seconds = Histogram(
            "bulkhead_gw_upstream_seconds",
            "From asking the model to the end of its answer.",
            ("outcome",),
            buckets=_MODEL_SECONDS,
            registry=registry,
        )
        self.ttft_seconds = Histogram(
            "bulkhead_gw_ttft_seconds",
            "From asking the model to the first event of its stream.",
            buckets=_MODEL_SECONDS,
            registry=registry,
        )
        self.tokens = Counter("bulkhead_gw_tokens", "Tokens settled.", ("direction",), registry=registry)
