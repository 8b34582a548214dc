"""Logs as JSON lines on stdout: a constant dotted event name and fields, never a sentence to parse.

Info means that a state changed. One failure is one error line, written at the top of the loop.
"""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
from typing_extensions import override

from bulkhead.api.base import Documented

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["LogEvent", "configure", "debug", "error", "info", "log_context", "reconcile_scope", "warning"]

_LOGGER: Final = logging.getLogger("bulkhead")
_scope: ContextVar[dict[str, Any]] = ContextVar("bulkhead_log_scope", default={})  # noqa: B039 - never mutated


class LogEvent(Documented):
    """Every event that the operator logs, with the text that documents it."""

    OPERATOR_STARTED = "operator.started", "The process is up; it is not leading yet."
    OPERATOR_STOPPING = "operator.stopping", "A signal came, or a part ended; running reconciles may finish."
    OPERATOR_STOPPED = "operator.stopped", "Everything is closed."
    OPERATOR_FAILED = "operator.failed", "The process ends because of an error; it is started again."
    LEADER_ACQUIRED = "leader.acquired", "This replica holds the Lease and works."
    LEASE_TROUBLE = "lease.trouble", "The Lease could not be read or written; tried again within seconds."
    LEADER_LOST = "leader.lost", "The Lease could not be renewed; the process ends at once."
    RECONCILE_FAILED = "reconcile.failed", "One reconcile failed; it is retried after `retry_seconds`."
    RECONCILE_TIMED_OUT = "reconcile.timed_out", "One reconcile exceeded its time; it is retried."
    WORKSPACE_CHANGED = "workspace.changed", "A reconcile wrote objects or status of a workspace."
    NOT_CONVERGING = "reconcile.not_converging", "Writes of several rounds did not take; tried again."
    WORKSPACE_EXPIRED = "workspace.expired", "The deadline has passed; the workspace was deleted."
    WORKSPACE_TORN_DOWN = "workspace.torn_down", "Nothing of it is left; the finalizer was taken off."
    CLASS_CHANGED = "class.changed", "A reconcile wrote the status or the finalizer of a WorkspaceClass."
    KEY_EXCHANGED = "key.exchanged", "One step of the exchange of a workspace's signing key was taken."
    MEMORY_NOT_ERASED = (
        "memory.not_erased",
        "At teardown no gateway confirmed that conversations are overwritten; the volume goes all the same.",
    )
    KEY_NOT_EXCHANGED = "key.not_exchanged", "The Secret of a signing key cannot be written; tried again."
    FACTS_UNKNOWN = "facts.unknown", "Nodes or RuntimeClasses cannot be read; what depends on them waits."
    DRIFT_REPAIRED = "drift.repaired", "An object that somebody had edited or deleted is as declared again."
    ACTIVITY_UNKNOWN = "activity.unknown", "The gateway did not answer; the workspace is not called idle."
    SWEEP_FINISHED = "sweep.finished", "All workspaces were listed and queued for comparison."
    SWEEP_FAILED = "sweep.failed", "The list failed; the next sweep tries again."
    ORPHAN_FOUND = "sweep.orphan", "A managed namespace has no workspace; the garbage collector removes it."
    EVENT_DROPPED = "event.dropped", "A Kubernetes Event could not be written."
    ISSUER_STARTED = "issuer.started", "The issuer answers."
    ISSUER_STOPPED = "issuer.stopped", "The issuer has answered whoever was waiting, and ends."
    ISSUER_FAILED = "issuer.failed", "The issuer could not answer; the caller was told to try again."
    TOKEN_ISSUED = "token.issued", "A session token was made: by whom, for whom, to do what."
    TOKEN_REFUSED = "token.refused", "No session token was made; `reason` says why."
    CERTIFICATE_LOADED = "certificate.loaded", "The issuer proves itself with a new certificate."
    CERTIFICATE_MISSING = "certificate.missing", "The operator has not made the issuer's certificate yet."
    CERTIFICATE_MADE = "certificate.made", "The operator made a CA or a certificate for the issuer."
    CERTIFICATE_NOT_MADE = "certificate.not_made", "The issuer's certificate cannot be written; tried again."
    AUDIT_NOT_CHECKED = "audit.not_checked", "Audit logs could not be looked at, or a finding not be written."
    LIBRARY = "library.message", "A warning of a library that is in use."


class _JsonLines(logging.Formatter):
    """One record, one line, one JSON object."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        fields = getattr(record, "fields", {})
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", LogEvent.LIBRARY),
            **getattr(record, "scope", {}),
            **fields,
        }
        if not hasattr(record, "event"):
            line |= {"logger": record.name, "message": record.getMessage()}
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_UTC_Z).decode()


def configure(level: str) -> None:
    """Send everything to stdout as JSON lines; libraries from warning up."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    # Of a request that it cannot parse it logs a traceback with what was sent: headers, and tokens in them.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    _LOGGER.setLevel(level.upper())


@contextmanager
def reconcile_scope(**fields: str) -> Iterator[None]:
    """Every line written inside carries these fields, in tasks started inside too."""
    token = _scope.set(_scope.get() | fields)
    try:
        yield
    finally:
        _scope.reset(token)


def log_context() -> dict[str, Any]:
    """The fields of the current scope."""
    return dict(_scope.get())


def debug(event: LogEvent, **fields: object) -> None:
    """For whoever looks for a bug."""
    _write(logging.DEBUG, event, fields)


def info(event: LogEvent, **fields: object) -> None:
    """A state changed."""
    _write(logging.INFO, event, fields)


def warning(event: LogEvent, **fields: object) -> None:
    """Something was lost or odd, and the operator goes on by itself."""
    _write(logging.WARNING, event, fields)


def error(event: LogEvent, *, exception: BaseException | None = None, **fields: object) -> None:
    """A failure, once, at the top. An exception's traceback is written only where it helps: for bugs."""
    _write(logging.ERROR, event, fields, exception)


def _write(
    level: int, event: LogEvent, fields: dict[str, object], exception: BaseException | None = None
) -> None:
    if not _LOGGER.isEnabledFor(level):
        return
    extra = {"event": event, "fields": fields, "scope": _scope.get()}
    _LOGGER.log(level, event, extra=extra, exc_info=exception)
