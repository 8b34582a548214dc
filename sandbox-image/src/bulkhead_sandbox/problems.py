"""Errors as RFC 9457 problems: what kind, never which check failed nor whether another's object exists."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONTENT_TYPE", "Problem", "Slug", "problem_body"]

CONTENT_TYPE = "application/problem+json"


class Slug(Enum):
    """Every kind of problem: name on the wire, status, title, and what to do."""

    MALFORMED = ("malformed", 400, "The request cannot be read", "Send one JSON object in UTF-8.")
    INVALID_TOKEN = ("invalid-token", 401, "The session token is not accepted", "Get a new session token.")
    INSUFFICIENT_SCOPE = (
        "insufficient-scope",
        403,
        "The session may not do this",
        "Get a token with the scope.",
    )
    QUOTA_EXHAUSTED = (
        "quota-exhausted",
        403,
        "The day's tokens are used up",
        "Wait for the next day (UTC), or have the limit raised.",
    )
    EGRESS_DENIED = (
        "egress-denied",
        403,
        "The destination is not allowed",
        "This is policy and final; do not retry or look for another way.",
    )
    NOT_FOUND = ("not-found", 404, "There is nothing here", "Look at what the session may use.")
    METHOD_NOT_ALLOWED = ("method-not-allowed", 405, "The method is not allowed here", "Use another method.")
    TOO_SLOW = ("too-slow", 408, "The request took too long to arrive", "Send it faster.")
    SESSION_EXISTS = (
        "session-exists",
        409,
        "The token has opened one already",
        "Use that one, or get a new token.",
    )
    BODY_TOO_LARGE = ("body-too-large", 413, "The request is too large", "Send less.")
    CONTEXT_TOO_LARGE = (
        "context-too-large",
        413,
        "The conversation does not fit into the model's context",
        "Send less, or open another session: nothing is cut silently.",
    )
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported-media-type",
        415,
        "The body is not in a form that is read here",
        "Send application/json without Content-Encoding.",
    )
    INVALID_FIELD = ("invalid-field", 422, "A field of the request is not accepted", "Correct the field.")
    RESERVED_CONTENT = (
        "reserved-content",
        422,
        "The text holds what only the gateway may write",
        "Send no prompt tags, canaries or chat-template markers.",
    )
    UNKNOWN_MODEL = (
        "unknown-model",
        422,
        "There is no such model here",
        "Use a model that GET /v1/models lists.",
    )
    RATE_LIMITED = (
        "rate-limited",
        429,
        "Too much in a short time",
        "Wait as long as Retry-After says.",
    )
    TOO_MANY_CONCURRENT = (
        "too-many-concurrent",
        429,
        "Too much is under way at once",
        "Wait until something has ended.",
    )
    INTERNAL = ("internal", 500, "The gateway failed", "Report the request id.")
    UPSTREAM_ERROR = ("upstream-error", 502, "The service behind did not answer as it should", "Try again.")
    UNSAFE_OUTPUT = (
        "unsafe-output",
        502,
        "The answer held what must not leave",
        "Ask in another way; the event is on record.",
    )
    AUDIT_UNAVAILABLE = (
        "audit-unavailable",
        503,
        "Nothing can be put on record",
        "Try again; nothing is done that leaves no trace.",
    )
    LIMITER_FAILED = (
        "limiter-failed",
        503,
        "Limits cannot be kept",
        "Try again; nothing is done beyond counting.",
    )
    NOT_READY = ("not-ready", 503, "This gateway cannot serve yet", "Try again soon.")
    UPSTREAM_TIMEOUT = ("upstream-timeout", 504, "The service behind took too long", "Try again.")
    TOOL_TIMEOUT = ("tool-timeout", 504, "The tool took too long", "Ask for less, or allow more time.")

    def __init__(self, slug: str, status: int, title: str, advice: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title
        self.advice = advice


class Problem(Exception):
    """Raised by a handler, answered as problem+json."""

    def __init__(
        self,
        slug: Slug,
        *,
        detail: str | None = None,
        field: str | None = None,
        limit: str | None = None,
        retry_after_seconds: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """`limit`: which one holds; `headers`: what the answer says besides, as the rates that are left."""
        super().__init__(slug.slug)
        self.slug = slug
        self.detail = detail
        self.field = field
        self.limit = limit
        self.retry_after_seconds = retry_after_seconds
        self.headers = dict(headers or {})
        if retry_after_seconds is not None:
            self.headers["Retry-After"] = str(retry_after_seconds)

    def body(self, request_id: str) -> bytes:
        """The JSON of this problem in the answer to one request, `error` being what OpenAI's clients show."""
        where = "" if self.field is None else f" ({self.field})"
        error = {
            "message": f"{self.slug.title}{where}. {self.detail or self.slug.advice}",
            "type": self.slug.slug,
            "code": self.slug.slug,
            "param": self.field,
        }
        return problem_body(
            self.slug,
            instance=request_id,
            detail=self.detail,
            field=self.field,
            limit=self.limit,
            retry_after=self.retry_after_seconds,
            error=error,
        )


def problem_body(slug: Slug, *, instance: str, detail: str | None = None, **members: Any) -> bytes:
    """The JSON of a problem; members that are None are left out."""
    body = {
        "type": f"urn:bulkhead:problem:{slug.slug}",
        "title": slug.title,
        "status": slug.status,
        "detail": detail or slug.advice,
        "instance": f"urn:uuid:{instance}",
    }
    return orjson.dumps(body | {name: value for name, value in members.items() if value is not None})
