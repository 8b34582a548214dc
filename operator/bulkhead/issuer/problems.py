"""Errors as RFC 9457 problems: what to do, never what the caller may not know."""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

import orjson
from aiohttp import web

__all__ = ["CONTENT_TYPE", "Problem", "Slug", "answer"]

CONTENT_TYPE: Final = "application/problem+json"


class Slug(Enum):
    """Every kind of problem: name on the wire, status, title, advice."""

    MALFORMED = "malformed", 400, "The request cannot be read", "Send one JSON object in UTF-8."
    UNAUTHENTICATED = (
        "unauthenticated",
        401,
        "The caller is not known",
        "Send a service account token of audience bulkhead-issuer as Authorization: Bearer.",
    )
    FORBIDDEN = (
        "forbidden",
        403,
        "The caller may not make tokens for this workspace",
        "Ask for the right to create tenantworkspaces/token of that name.",
    )
    NOT_FOUND = "not-found", 404, "There is nothing here", "Look at the name of the workspace."
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "The method is not allowed here", "Use POST."
    NOT_READY = "not-ready", 409, "The workspace takes no sessions now", "Try again when it is Ready."
    BODY_TOO_LARGE = "body-too-large", 413, "The request is too large", "Send less."
    UNSUPPORTED_MEDIA_TYPE = "unsupported-media-type", 415, "The body is not JSON", "Send application/json."
    INVALID_FIELD = "invalid-field", 422, "A field of the request is not accepted", "Correct the field."
    RATE_LIMITED = "rate-limited", 429, "Too many tokens were asked for", "Try again later."
    UNAVAILABLE = "unavailable", 503, "The API server gave no answer", "Try again."

    def __init__(self, slug: str, status: int, title: str, advice: str) -> None:
        self.slug = slug
        self.status = status
        self.title = title
        self.advice = advice


class Problem(Exception):
    """Raised where something is refused; `reason` is for our log alone."""

    def __init__(
        self,
        slug: Slug,
        *,
        detail: str | None = None,
        field: str | None = None,
        retry_after_seconds: float | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(slug.slug)
        self.slug = slug
        self.detail = detail
        self.field = field
        self.retry_after_seconds = retry_after_seconds
        self.reason = reason or slug.slug


def answer(problem: Problem, request_id: str) -> web.Response:
    """The problem as an HTTP answer."""
    slug = problem.slug
    body: dict[str, Any] = {
        "type": f"urn:bulkhead:problem:{slug.slug}",
        "title": slug.title,
        "status": slug.status,
        "detail": problem.detail or slug.advice,
        "instance": f"urn:uuid:{request_id}",
    }
    if problem.field is not None:
        body["field"] = problem.field
    response = web.Response(body=orjson.dumps(body), status=slug.status, content_type=CONTENT_TYPE)
    if slug is Slug.UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = "Bearer"
    if problem.retry_after_seconds is not None:
        response.headers["Retry-After"] = str(max(1, round(problem.retry_after_seconds + 0.5)))
    return response
