"""What a gateway counts; no label ever holds a user."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["Metrics"]

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1, 5, 30, 300)


class Metrics:
    """Counters and their registry."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "bulkhead_gw_requests", "Requests answered.", ("route", "code"), registry=self.registry
        )
        self.seconds = Histogram(
            "bulkhead_gw_request_seconds",
            "From the request's head to the answer's last byte handed over.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.auth_failures = Counter(
            "bulkhead_gw_auth_failures", "Tokens refused.", ("reason",), registry=self.registry
        )
        self.limit_rejections = Counter(
            "bulkhead_gw_limit_rejections",
            "Calls that a limit held back; scope is whose limit.",
            ("limit", "scope"),
            registry=self.registry,
        )
        self.limit_debt = Gauge(
            "bulkhead_gw_limit_debt_tokens",
            "Tokens that were spent beyond a limit and are not repaid yet.",
            registry=self.registry,
        )
        self.security_events = Counter(
            "bulkhead_gw_security_events", "What tells of abuse.", ("kind",), registry=self.registry
        )
        self.audit_seq = Gauge(
            "bulkhead_gw_audit_seq", "Number of the audit log's last record.", registry=self.registry
        )
        self.audit_lag = Gauge(
            "bulkhead_gw_audit_lag_seconds",
            "How long the oldest record of the audit log waits to be written.",
            registry=self.registry,
        )
        self.memory_expired = Counter(
            "bulkhead_gw_memory_expired",
            "What was remembered and is erased because its time was over.",
            ("kind",),
            registry=self.registry,
        )
        self.tool_calls = Counter(
            "bulkhead_gw_tool_calls", "Calls made to tools.", ("tool", "outcome"), registry=self.registry
        )
