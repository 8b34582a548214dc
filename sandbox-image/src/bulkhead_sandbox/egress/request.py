"""The head of a proxy request, and what is answered to it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bulkhead_sandbox.problems import CONTENT_TYPE, Slug, problem_body

__all__ = ["ESTABLISHED", "MAX_HEAD_BYTES", "BadRequest", "ProxyRequest", "parse_head", "refusal"]

MAX_HEAD_BYTES: Final = 8 * 1024
ESTABLISHED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"

_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,16}) ([\x21-\x7e]{1,2048}) HTTP/1\.[01]")
_FIELD_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")
_REASONS: Final = {
    400: "Bad Request",
    403: "Forbidden",
    405: "Method Not Allowed",
    429: "Too Many Requests",
    502: "Bad Gateway",
    504: "Gateway Timeout",
}


class BadRequest(ValueError):
    """Not the head of an HTTP/1 request."""


@dataclass(frozen=True, slots=True)
class ProxyRequest:
    """The request line; header fields decide nothing here."""

    method: str
    target: str


def parse_head(head: bytes) -> ProxyRequest:
    """The request in `head`, which ends with an empty line; BadRequest for bare CR, LF, NUL, folded lines."""
    first, *fields = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(first)
    if match is None or not all(_FIELD_LINE.fullmatch(field) for field in fields):
        raise BadRequest
    return ProxyRequest(match[1].decode(), match[2].decode())


def refusal(slug: Slug, instance: str) -> bytes:
    """A whole response that says no and closes; a denial by policy says that it is final."""
    policy = "final" if slug is Slug.EGRESS_DENIED else None
    body = problem_body(slug, instance=instance, policy=policy)
    head = [
        f"HTTP/1.1 {slug.status} {_REASONS[slug.status]}",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    ]
    if slug is Slug.METHOD_NOT_ALLOWED:
        head.append("Allow: CONNECT")
    return "\r\n".join([*head, "", ""]).encode() + body
