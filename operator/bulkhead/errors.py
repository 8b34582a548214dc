"""Every error that Bulkhead raises on purpose.

BulkheadError
├── InvalidValue            a quantity, duration or name that cannot be read: field, given, allowed
├── KubeError               the API server refused or failed: verb, kind, namespace, name, status, reason
│   ├── NotFound            404
│   ├── AlreadyExists       409 on create
│   ├── Conflict            409: somebody wrote first, or a UID precondition failed
│   ├── Forbidden           403
│   │   ├── NamespaceTerminating
│   │   └── QuotaExceeded
│   ├── Invalid             422 or 400
│   ├── Gone                410: a list or watch is too old
│   ├── TooManyRequests     429, with retry_after_seconds
│   ├── Unauthorized        401
│   └── Unavailable         5xx, timeout or no connection
└── LeadershipLost          the Lease went to another replica; the process must end
"""

from __future__ import annotations

__all__ = [
    "AlreadyExists",
    "BulkheadError",
    "Conflict",
    "Forbidden",
    "Gone",
    "Invalid",
    "InvalidValue",
    "KubeError",
    "LeadershipLost",
    "NamespaceTerminating",
    "NotFound",
    "QuotaExceeded",
    "TooManyRequests",
    "Unauthorized",
    "Unavailable",
]


class BulkheadError(Exception):
    """The root: catching it never catches a programming error."""


class InvalidValue(BulkheadError):
    """A value that can never work: names the field, what was given and what is allowed."""

    def __init__(self, field: str, given: object, allowed: str) -> None:
        super().__init__(f"{field}: {given!r} is not allowed; {allowed}")
        self.field = field
        self.given = given
        self.allowed = allowed


class KubeError(BulkheadError):
    """`<verb> <kind> <namespace>/<name>: <cause>`; the cause never carries a request body."""

    def __init__(
        self,
        verb: str,
        kind: str,
        namespace: str | None,
        name: str | None,
        *,
        status: int | None,
        reason: str,
        message: str,
        retry_after_seconds: float | None = None,
    ) -> None:
        where = "/".join(part for part in (namespace, name) if part)
        super().__init__(f"{verb} {kind} {where}: {status or 'no answer'} {reason}: {message}")
        self.verb = verb
        self.kind = kind
        self.namespace = namespace
        self.name = name
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_seconds = retry_after_seconds


class NotFound(KubeError):
    """404."""


class AlreadyExists(KubeError):
    """409 with reason AlreadyExists."""


class Conflict(KubeError):
    """409: the object changed meanwhile, or it is not the one with the expected UID."""


class Forbidden(KubeError):
    """403."""


class NamespaceTerminating(Forbidden):
    """403 whose cause says that the namespace is going away: wait, do not report an error."""


class QuotaExceeded(Forbidden):
    """403 by the ResourceQuota admission plugin."""


class Invalid(KubeError):
    """400 or 422: the object can never be accepted as it is."""


class Gone(KubeError):
    """410: start the list again."""


class TooManyRequests(KubeError):
    """429."""


class Unauthorized(KubeError):
    """401."""


class Unavailable(KubeError):
    """5xx, a timeout, or no connection: try again later."""


class LeadershipLost(BulkheadError):
    """Another replica holds the Lease; writing on would be acting twice."""
