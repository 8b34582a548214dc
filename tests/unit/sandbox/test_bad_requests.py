"""Bytes that are no request, and requests that never end: a problem or a closed connection, never a trace."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from bulkhead_sandbox import serve
from bulkhead_sandbox.gateway.http import bodies

from .conftest import HOST

if TYPE_CHECKING:
    from .conftest import World

GOOD = b"GET /v1/session HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n"


async def sent(world: World, data: bytes, until: bytes | None = None) -> bytes:
    """All that comes back for these bytes, at least up to some."""
    reader, writer = await asyncio.open_connection(HOST, urlsplit(world.url).port)
    try:
        writer.write(data)
        await writer.drain()
        async with asyncio.timeout(10):
            return await (reader.read() if until is None else reader.readuntil(until))
    except ConnectionResetError:  # closed before all was read: an answer as well
        return b""
    finally:
        writer.transport.abort()


UNREADABLE = {
    "no http": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64) + b"\r\n\r\n",
    "a line of 16 KiB": b"GET /" + b"a" * 16384 + b" HTTP/1.1\r\nHost: gateway\r\n\r\n",
    "a header of 16 KiB": GOOD[:-2] + b"Authorization: Bearer planted-" + b"a" * 16384 + b"\r\n\r\n",
    "300 headers": GOOD[:-2] + b"".join(b"X-%d: planted-x\r\n" % i for i in range(300)) + b"\r\n",
    "a header name with a space": GOOD[:-2] + b"Authori zation: planted-x\r\n\r\n",
    "a line without colon": GOOD[:-2] + b"planted-x\r\n\r\n",
    "a null in a header": GOOD[:-2] + b"X: planted-\x00\r\n\r\n",
    "two lengths": b"POST /v1/tools/x HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n"
    b"Content-Length: 3\r\n\r\n{}",
    "length and chunks": b"POST /v1/tools/x HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "negative length": b"POST /v1/tools/x HTTP/1.1\r\nHost: g\r\nContent-Length: -1\r\n\r\n",
    "http 3": b"GET /v1/session HTTP/3.0\r\nHost: g\r\n\r\n",
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_what_is_no_request_is_a_problem_that_quotes_nothing(
    world: World, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Aiohttp answers with the offending bytes and logs them with a traceback: a token may be among them."""
    answer = await sent(world, data)

    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 "))
    assert b"application/problem+json" in head
    assert json.loads(body)["type"] == "urn:bulkhead:problem:malformed"
    assert b"planted" not in answer
    assert "planted" not in caplog.text
    assert not caplog.records


async def test_gateway_goes_on_after_all_of_them(world: World) -> None:
    """One bad client would end everybody's service."""
    for data in UNREADABLE.values():
        await sent(world, data)

    assert (await world.ask("GET", "/v1/session", world.token("session"))).status == 200


async def test_body_that_never_ends_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred clients that send a byte a minute would hold all connections."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    token = world.token("tools:call:shell")
    head = (
        f"POST /v1/tools/shell HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 100\r\nConnection: close\r\n\r\n{"
    )

    answer = await sent(world, head.encode(), until=b"too-slow")

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"urn:bulkhead:problem:too-slow" in answer


async def test_headers_that_never_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same with headers, which are read before anybody is asked who he is."""
    monkeypatch.setattr(serve, "IDLE_SECONDS", 0.05)
    async with serve.listening((web.Application(), 0), host=HOST, drain_seconds=0) as (port,):
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(GOOD[:40])
        async with asyncio.timeout(10):
            assert await reader.read() == b""
        writer.transport.abort()


async def test_upgrade_is_not_answered_with_one(world: World) -> None:
    """A connection that leaves HTTP leaves every check behind."""
    data = GOOD[:-2].replace(b"close", b"Upgrade") + b"Upgrade: websocket\r\n\r\n"

    assert (await sent(world, data + b"GET / HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n"))[:13] == (
        b"HTTP/1.1 401 "
    )
