"""Canary and the gateway's question to it: alive is what answers, asked once for everybody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from aiohttp.test_utils import TestClient, TestServer
from prometheus_client import CollectorRegistry

from bulkhead_sandbox.canary import BANNER, Canary
from bulkhead_sandbox.gateway.canaries import Canaries, answers, guard_app, look_up
from bulkhead_sandbox.guard import canaries_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Address = tuple[str, int]
ONE: Address = ("10.0.0.7", 8090)
SIX: Address = ("fd00::7", 8090)


class World:
    """Canaries by address, and how often each was asked."""

    def __init__(self, *alive: Address, listed: tuple[Address, ...] = (ONE, SIX)) -> None:
        self.alive = set(alive)
        self.listed = listed
        self.asked: list[Address] = []
        self.now = 100.0
        self.canaries = Canaries("canary.test:8090", lambda: self.now, resolve=self.resolve, probe=self.probe)

    async def resolve(self, host: str, port: int) -> tuple[Address, ...]:
        assert ("canary.test", 8090) == (host, port)
        return self.listed

    async def probe(self, address: Address) -> bool:
        self.asked.append(address)
        await asyncio.sleep(0)
        return address in self.alive


async def test_only_those_that_answer_are_named() -> None:
    """Silence of a dead canary proves nothing, so no guard may be sent to one."""
    assert (ONE,) == await World(ONE).canaries.alive()


async def test_many_guards_ask_once() -> None:
    """A hundred pods that start together must not become a hundred connections."""
    world = World(ONE)
    await asyncio.gather(*(world.canaries.alive() for _ in range(100)))

    assert [ONE, SIX] == world.asked


async def test_an_answer_is_a_second_old_at_most() -> None:
    """An old word on a canary that has died would let a pod start unproved."""
    world = World(ONE)
    await world.canaries.alive()
    world.alive.clear()
    world.now += 1.1

    assert () == await world.canaries.alive()


async def test_a_caller_that_leaves_takes_nothing_from_the_others() -> None:
    """A guard that is killed must not fail its neighbours."""
    world = World(ONE)
    leaving, staying = (asyncio.create_task(world.canaries.alive()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()

    assert (ONE,) == await staying


@pytest.mark.parametrize(
    ("alive", "status", "expected"), [((ONE, SIX), 200, (ONE, SIX)), ((), 503, ())], ids=["alive", "dead"]
)
async def test_a_guard_reads_what_the_gateway_says(
    alive: tuple[Address, ...], status: int, expected: tuple[Address, ...]
) -> None:
    """Two programs, one format."""
    async with TestClient(TestServer(guard_app(World(*alive).canaries))) as client:
        response = await client.get("/v1/canaries")
        body = await response.read()

    raw = b"HTTP/1.1 %d X\r\n\r\n%s" % (response.status, body)
    assert (status, expected) == (response.status, canaries_in(raw))


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/canaries"), ("HEAD", "/v1/canaries"), ("GET", "/v1/session")]
)
async def test_untrusted_pods_may_ask_nothing_else(method: str, path: str) -> None:
    """This port is open to tenant code."""
    async with TestClient(TestServer(guard_app(World(ONE).canaries))) as client:
        response = await client.request(method, path)

    assert response.status in {404, 405}


@pytest.fixture
async def canary() -> AsyncIterator[Address]:
    server = await asyncio.start_server(Canary(CollectorRegistry()).accept, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()
    server.close()


async def test_a_canary_says_its_name_and_hangs_up(canary: Address) -> None:
    """Whoever reaches it knows what it has reached, and holds nothing open."""
    reader, writer = await asyncio.open_connection(*canary)
    said = await reader.read()
    writer.close()

    assert BANNER == said
    assert await answers(canary)


async def test_beyond_its_bound_a_canary_lets_nobody_stay() -> None:
    """Tenant code that is not fenced yet could otherwise hold every socket of it."""
    server = await asyncio.start_server(Canary(CollectorRegistry(), most=0).accept, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()

    assert not await answers(address)
    server.close()


async def test_something_else_on_the_port_is_no_canary() -> None:
    """Any listener would otherwise do as a positive control."""

    async def other(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9\r\n")
        writer.close()

    server = await asyncio.start_server(other, "127.0.0.1", 0)

    assert not await answers(server.sockets[0].getsockname())
    server.close()


async def test_a_name_that_does_not_resolve_has_no_canaries() -> None:
    """The gateway answers 503 then, and guards wait."""
    assert () == await look_up("a..b", 8090)  # no name at all: nothing is asked outside
