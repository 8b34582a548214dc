"""From an HTTP answer of the API server to a typed error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bulkhead import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Call", "error_of"]

_BY_STATUS: Final[Mapping[int, type[errors.KubeError]]] = {
    400: errors.Invalid,
    401: errors.Unauthorized,
    403: errors.Forbidden,
    404: errors.NotFound,
    409: errors.Conflict,
    410: errors.Gone,
    422: errors.Invalid,
    429: errors.TooManyRequests,
}
_SERVER_ERRORS: Final = 500
_WITHHELD: Final = "the server's words are withheld, they could quote the value"


class Call(NamedTuple):
    """What was asked, for messages and metrics."""

    verb: str
    kind: str
    namespace: str | None
    name: str | None


def error_of(
    call: Call, status: int, body: Mapping[str, Any], retry_after_seconds: float | None = None
) -> errors.KubeError:
    """The error class that says what can be done about it; the message never carries what was sent."""
    reason = str(body.get("reason") or "")
    message = str(body.get("message") or "")
    details = body.get("details") or {}
    kind = _class_of(status, reason, message, details)
    if call.kind in {"Secret", "TokenReview"} and kind is errors.Invalid:
        message = _WITHHELD
    if retry_after_seconds is None:
        retry_after_seconds = details.get("retryAfterSeconds")
    return kind(
        call.verb,
        call.kind,
        call.namespace,
        call.name,
        status=status,
        reason=reason,
        message=message,
        retry_after_seconds=retry_after_seconds,
    )


def _class_of(status: int, reason: str, message: str, details: Mapping[str, Any]) -> type[errors.KubeError]:
    found = _BY_STATUS.get(status, errors.Invalid if status < _SERVER_ERRORS else errors.Unavailable)
    if found is errors.Forbidden:
        if any(cause.get("reason") == "NamespaceTerminating" for cause in details.get("causes") or ()):
            return errors.NamespaceTerminating
        # The quota plugin has no reason of its own: kubernetes/apiserver resourcequota/controller.go.
        if "exceeded quota" in message:
            return errors.QuotaExceeded
    if found is errors.Conflict and reason == "AlreadyExists":
        return errors.AlreadyExists
    # A timeout of the server's is worth another try, whatever code it came with.
    return errors.Unavailable if reason in {"Timeout", "ServerTimeout"} else found
