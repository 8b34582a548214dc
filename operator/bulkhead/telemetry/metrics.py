"""Everything that is counted, in one registry. No label names a tenant where a histogram carries it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Metrics"]

_RECONCILE_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_REQUEST_BUCKETS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_LIFECYCLE_BUCKETS: Final = (0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_LAG_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 300)


class Metrics:
    """Made once by main and handed down; counters start at zero, so rates are right from the start."""

    def __init__(self, version: str) -> None:
        self.registry = CollectorRegistry()
        self.reconcile_total = self._counter("reconcile_total", "Reconciles by result.", "result")
        self.reconcile_duration = self._histogram(
            "reconcile_duration_seconds", "Duration of one reconcile.", _RECONCILE_BUCKETS
        )
        self.queue_depth = self._gauge("queue_depth", "Workspaces ready to be reconciled.")
        self.queue_oldest = self._gauge(
            "queue_oldest_seconds", "For how long the longest-waiting workspace has waited."
        )
        self.queue_adds = self._counter("queue_adds_total", "Keys added to the queue, before deduplication.")
        self.api_requests = self._counter(
            "api_requests_total", "Requests to the API server.", "verb", "kind", "code"
        )
        self.api_duration = self._histogram(
            "api_request_duration_seconds", "Duration of one request.", _REQUEST_BUCKETS, "verb"
        )
        self.watch_age = self._gauge(
            "watch_age_seconds", "Since the watch of this kind was last opened.", "kind"
        )
        self.drift_repaired = self._counter(
            "drift_repaired_total", "Objects put back after somebody edited or deleted them.", "kind"
        )
        self.workspaces = self._gauge("workspaces", "Workspaces by phase.", "phase")
        self.ttl_lag = self._histogram(
            "ttl_lag_seconds", "From a workspace's deadline to its deletion.", _LAG_BUCKETS
        )
        self.teardown_duration = self._histogram(
            "teardown_duration_seconds", "From deletion to nothing left.", _LIFECYCLE_BUCKETS
        )
        self.ready_latency = self._histogram(
            "ready_latency_seconds", "From creation to Ready for the first time.", _LIFECYCLE_BUCKETS
        )
        self.audit_checks = self._counter(
            "audit_checks_total", "Looks at audit logs by what they showed.", "seen"
        )
        self.leader = self._gauge("leader", "1 on the replica that holds the Lease.")
        self._gauge("build_info", "Always 1; the label says the version.", "version").labels(version).set(1)
        for result in ("success", "requeue", "error", "timeout"):
            self.reconcile_total.labels(result)

    def observe_queue(self, depth: Callable[[], float], oldest_seconds: Callable[[], float]) -> None:
        """Read the queue when scraped."""
        self.queue_depth.set_function(depth)
        self.queue_oldest.set_function(oldest_seconds)

    def observe_request(self, verb: str, kind: str, status: int | None, seconds: float) -> None:
        """One HTTP attempt; no status: no answer."""
        self.api_requests.labels(verb, kind, status or "none").inc()
        self.api_duration.labels(verb).observe(seconds)

    def set_phases(self, counts: Mapping[str, int]) -> None:
        """How many workspaces are in each phase; phases that have none disappear."""
        self.workspaces.clear()
        for phase, count in counts.items():
            self.workspaces.labels(phase or "New").set(count)

    def set_watch_ages(self, ages: Mapping[str, float]) -> None:
        """Seconds since each watch was opened."""
        for kind, seconds in ages.items():
            self.watch_age.labels(kind).set(seconds)

    def text(self) -> bytes:
        """The exposition format."""
        return generate_latest(self.registry)

    def _counter(self, name: str, documentation: str, *labels: str) -> Counter:
        return Counter(f"bulkhead_{name}", documentation, labels, registry=self.registry)

    def _gauge(self, name: str, documentation: str, *labels: str) -> Gauge:
        return Gauge(f"bulkhead_{name}", documentation, labels, registry=self.registry)

    def _histogram(
        self, name: str, documentation: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"bulkhead_{name}", documentation, labels, buckets=buckets, registry=self.registry)
