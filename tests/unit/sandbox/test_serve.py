from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from bulkhead_sandbox.gateway.activity import Activity
from bulkhead_sandbox.serve import listening

from .conftest import HOST

if TYPE_CHECKING:
    from .conftest import FakeClock


async def test_request_under_way_is_finished_and_no_new_one_taken() -> None:
    """Every roll of a gateway would cut the calls of that moment."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def handler(_request: web.Request) -> web.Response:
        begun.set()
        await go_on.wait()
        return web.Response(text="whole")

    app = web.Application()
    app.router.add_get("/", handler)
    async with aiohttp.ClientSession() as http:

        async def ask() -> str:
            async with http.get(f"http://{HOST}:{port}/") as response:
                return await response.text()

        async with listening((app, 0), host=HOST, drain_seconds=10) as (port,):
            asked = asyncio.create_task(ask())
            await begun.wait()
            asyncio.get_running_loop().call_later(0.05, go_on.set)
        assert await asked == "whole"
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask()


async def test_caller_that_hangs_up_cancels_its_request() -> None:
    """Work that nobody waits for would go on to its timeout."""
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def handler(_request: web.Request) -> web.Response:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        return web.Response()

    app = web.Application()
    app.router.add_get("/", handler)
    async with listening((app, 0), host=HOST, drain_seconds=0) as (port,):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        await begun.wait()
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(5):
            await cancelled.wait()


def test_long_call_is_activity_to_its_end(clock: FakeClock) -> None:
    """A call of five minutes in a workspace with an idle deadline of one would be cut by teardown."""
    activity = Activity(clock)
    with activity.serving():
        clock.now += 100
        with activity.serving():
            clock.now += 100
        assert activity.report()["last_session_at"] == "2027-01-15T08:03:20.000Z"
        clock.now += 100
        assert activity.report()["last_session_at"] == "2027-01-15T08:05:00.000Z"
    clock.now += 100
    assert activity.report()["last_session_at"] == "2027-01-15T08:05:00.000Z"
