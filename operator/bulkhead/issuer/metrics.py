"""What an issuer counts; no label holds a caller, a user or a workspace."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.exposition import generate_latest

from bulkhead.issuer.problems import Slug

__all__ = ["Metrics"]


class Metrics:
    """Counters and their registry; every outcome is there from the start, so rates are right."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "bulkhead_issuer_requests",
            "Tokens asked for, by what became of it.",
            ("outcome",),
            registry=self.registry,
        )
        for outcome in ("issued", *(slug.slug for slug in Slug)):
            self.requests.labels(outcome)

    def text(self) -> bytes:
        """In the text format."""
        return generate_latest(self.registry)
