"""Bodies and queries, read within bounds of size, depth and time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiohttp import hdrs

from bulkhead_sandbox.problems import Problem, Slug
from bulkhead_sandbox.shape import ShapeError, decode
from bulkhead_wire import strict_json

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["MAX_BODY_BYTES", "json_body", "shaped_body", "whole_number"]

T = TypeVar("T")
MAX_BODY_BYTES: Final = 1024 * 1024
_MAX_DEPTH: Final = 32
BODY_SECONDS: Final = 30.0


async def json_body(request: web.Request) -> Any:
    """The JSON that was sent; Problem if it is too large, too slow, too deep, ambiguous or no JSON."""
    if request.content_type != "application/json" or hdrs.CONTENT_ENCODING in request.headers:
        raise Problem(Slug.UNSUPPORTED_MEDIA_TYPE)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            data = await request.read()  # aiohttp raises 413 beyond client_max_size
    except TimeoutError as error:
        raise Problem(Slug.TOO_SLOW) from error
    try:
        return strict_json.loads(data, max_depth=_MAX_DEPTH)
    except strict_json.StrictJsonError as error:
        raise Problem(Slug.MALFORMED) from error


async def shaped_body(cls: type[T], request: web.Request) -> T:
    """The body as `cls`; Problem names the field that does not fit."""
    try:
        return decode(cls, await json_body(request))
    except ShapeError as error:
        raise Problem(Slug.INVALID_FIELD, detail=f"It {error.problem}.", field=error.field) from error


def whole_number(request: web.Request, name: str, *, default: int, least: int, most: int) -> int:
    """One query parameter; Problem if it is there and not a number within bounds."""
    values = request.query.getall(name, [])
    if not values:
        return default
    text = values[0]
    if (
        len(values) == 1
        and text.isascii()
        and text.isdigit()
        and len(text) < 17
        and least <= int(text) <= most
    ):
        return int(text)
    raise Problem(Slug.INVALID_FIELD, detail=f"It must be one number from {least} to {most}.", field=name)
