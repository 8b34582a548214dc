"""What tells of abuse: counted always, put on record as long as that does not fill the disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Unpack

from bulkhead_sandbox.problems import Problem

if TYPE_CHECKING:
    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.gateway.metrics import Metrics
    from bulkhead_sandbox.gateway.trail import Trail
    from bulkhead_sandbox.gateway.who import Who

__all__ = ["SecurityEvents", "Severity"]

Severity = Literal["info", "low", "medium", "high", "critical"]

# Anybody who reaches the port can have a token refused, and any caller can run into limits: a record each
# would let them fill the volume. At these paces, records take 7 and 35 MB a day; those that are left out are
# counted in the next.
_STRANGERS: Final = (30.0, 0.2)  # at once, and again each second
_CALLERS: Final = (100.0, 1.0)


class _Pace:
    """How many records may be made now, and how many were left out."""

    def __init__(self, burst: float, per_second: float, now: float) -> None:
        self._burst = self._left = burst
        self._per_second = per_second
        self._at = now
        self.left_out = 0

    def take(self, now: float) -> bool:
        """Whether one more may be made."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            self.left_out += 1
            return False
        self._left -= 1
        return True


class SecurityEvents:
    """Counts and records; a record that cannot be made never turns a refusal into anything else."""

    def __init__(self, audit: Trail, metrics: Metrics, clock: Clock) -> None:
        """`clock`: seconds that never go back."""
        self._audit = audit
        self._metrics = metrics
        self._clock = clock
        self._strangers = _Pace(*_STRANGERS, clock())
        self._callers = _Pace(*_CALLERS, clock())

    async def report(self, kind: str, *, why: str, severity: Severity, **who: Unpack[Who]) -> None:
        """A verified caller did, or was given, what should not be; `kind` is the metric's label."""
        self._metrics.security_events.labels(kind).inc()
        await self._record(self._callers, "security", why, severity, {**who})

    async def limit_held(self, limit: str, **who: Unpack[Who]) -> None:
        """A limit held a call back; `limit` is "<scope>-<what>"."""
        scope, _, what = limit.partition("-")
        self._metrics.limit_rejections.labels(what, scope).inc()
        await self._record(self._callers, "limit", limit, "low", {**who})

    async def scope_refused(self, **who: Unpack[Who]) -> None:
        """A verified caller asked for more than the token allows."""
        self._metrics.auth_failures.labels("insufficient-scope").inc()
        await self._record(self._callers, "auth", "insufficient-scope", "medium", {**who})

    async def token_refused(self, reason: str, request_id: str) -> None:
        """Nobody that we know asked to come in; the reason is told nowhere else."""
        self._metrics.auth_failures.labels(reason).inc()
        replayed = reason == "replay"
        if replayed:
            self._metrics.security_events.labels("replay").inc()
        await self._record(
            self._strangers, "auth", reason, "high" if replayed else "low", {"rid": request_id}
        )

    async def _record(
        self, pace: _Pace, event: str, why: str, severity: Severity, fields: dict[str, Any]
    ) -> None:
        if severity != "critical" and not pace.take(self._clock()):
            return
        if pace.left_out:
            fields["target"] = {"unrecorded": pace.left_out}
            pace.left_out = 0
        try:
            await self._audit.point(event, "deny", why=why, sev=severity, **fields)
        except Problem:  # no record can be made: work is refused elsewhere, and this is a refusal already
            self._metrics.security_events.labels("unrecorded").inc()
