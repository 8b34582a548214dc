"""Leader election between candidates on a clock that costs nothing, against one Lease in memory."""

from __future__ import annotations

import asyncio
import copy
from typing import TYPE_CHECKING, Any, cast

import pytest
from support.clocks import LoopClock

from bulkhead.errors import AlreadyExists, Conflict, LeadershipLost, Unavailable
from bulkhead.kube.lease import Election, LeaseSettings

if TYPE_CHECKING:
    from bulkhead.kube.client import KubeClient

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


class OneLease:
    """The part of the client that an election uses, with optimistic concurrency as the API server has it."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.down = False
        self.writes = 0

    def _store(self, lease: dict[str, Any]) -> dict[str, Any]:
        self.version += 1
        self.writes += 1
        self.lease = copy.deepcopy(lease)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        return copy.deepcopy(self.lease)

    async def _answer(self, error: type) -> None:
        await asyncio.sleep(0.01)
        if self.down:
            raise self._error(error)

    @staticmethod
    def _error(kind: type) -> Exception:
        return cast("Exception", kind("x", "Lease", None, "l", status=None, reason="", message=""))

    async def find(self, *_: object) -> dict[str, Any] | None:
        await self._answer(Unavailable)
        return copy.deepcopy(self.lease)

    async def create(self, lease: dict[str, Any]) -> dict[str, Any]:
        await self._answer(Unavailable)
        if self.lease is not None:
            raise self._error(AlreadyExists)
        return self._store(lease)

    async def replace(self, lease: dict[str, Any]) -> dict[str, Any]:
        await self._answer(Unavailable)
        if self.lease is None or lease["metadata"]["resourceVersion"] != str(self.version):
            raise self._error(Conflict)
        return self._store(lease)


def candidate(server: OneLease, identity: str, **options: float) -> Election:
    settings = LeaseSettings(namespace="bulkhead-system", name="bulkhead", identity=identity, **options)
    client = cast("KubeClient", server)
    return Election(client, settings, now=LoopClock().now, random=lambda: 1.0)


def holder(server: OneLease) -> str:
    return cast("str", server.lease["spec"]["holderIdentity"]) if server.lease else ""


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_only_one_of_many_candidates_gets_the_lease() -> None:
    """Two leaders would act twice."""
    server = OneLease()
    tasks = [asyncio.create_task(candidate(server, name).acquire()) for name in "abc"]
    await asyncio.sleep(5)

    assert [task.done() for task in tasks].count(True) == 1
    for task in tasks:
        task.cancel()


async def test_a_silent_holder_is_replaced_after_the_duration_that_we_saw() -> None:
    """The record's own times are another node's clock: a holder with a wrong clock must not lose early."""
    server = OneLease()
    await candidate(server, "dead").acquire()
    assert server.lease is not None
    server.lease["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    started = now()
    await candidate(server, "heir").acquire()

    assert 15 <= now() - started < 15 + 2.1
    assert holder(server) == "heir"
    assert server.lease["spec"]["leaseTransitions"] == 2


async def test_a_renewing_holder_is_never_replaced() -> None:
    """A standby that miscounts would steal from a healthy leader."""
    server = OneLease()
    leader = candidate(server, "leader")
    await leader.acquire()
    holding = asyncio.create_task(leader.hold())
    standby = asyncio.create_task(candidate(server, "standby").acquire())
    await asyncio.sleep(600)

    assert (holding.done(), standby.done(), holder(server)) == (False, False, "leader")
    holding.cancel()
    standby.cancel()


async def test_after_a_release_a_standby_leads_within_a_retry() -> None:
    """A rolling update must not pause the fleet for fifteen seconds."""
    server = OneLease()
    leader = candidate(server, "leader")
    await leader.acquire()
    standby = asyncio.create_task(candidate(server, "standby").acquire())
    await asyncio.sleep(1)
    await leader.release()
    released = now()
    await standby

    assert now() - released <= 2.1
    assert holder(server) == "standby"


async def test_a_holder_that_cannot_renew_gives_up_before_its_time_is_over() -> None:
    """10 s of silence end the leader, 15 s make another: never two at a time."""
    server = OneLease()
    leader = candidate(server, "leader")
    await leader.acquire()
    holding = asyncio.create_task(leader.hold())
    await asyncio.sleep(3)
    server.down = True
    lost_contact = now()

    with pytest.raises(LeadershipLost):
        await holding
    assert now() - lost_contact <= 10


async def test_a_holder_survives_an_outage_shorter_than_its_deadline() -> None:
    """A restart of the API server must not restart every operator."""
    server = OneLease()
    leader = candidate(server, "leader")
    await leader.acquire()
    holding = asyncio.create_task(leader.hold())
    for _ in range(5):
        server.down = True
        await asyncio.sleep(6)
        server.down = False
        await asyncio.sleep(6)

    assert holding.done() is False
    holding.cancel()


async def test_a_holder_that_was_replaced_ends() -> None:
    """It must not take the Lease back: the other one works already."""
    server = OneLease()
    leader = candidate(server, "leader")
    await leader.acquire()
    holding = asyncio.create_task(leader.hold())
    assert server.lease is not None
    server._store(server.lease | {"spec": server.lease["spec"] | {"holderIdentity": "other"}})

    with pytest.raises(LeadershipLost):
        await holding


async def test_releasing_what_another_holds_writes_nothing() -> None:
    """An old leader on its way out would throw the new one off."""
    server = OneLease()
    leader, other = candidate(server, "leader"), candidate(server, "other")
    await leader.acquire()
    assert server.lease is not None
    server._store(server.lease | {"spec": server.lease["spec"] | {"holderIdentity": "other"}})
    await leader.release()
    await other.release()

    assert holder(server) == "other"


async def test_an_outage_at_the_start_is_waited_out() -> None:
    """A standby that dies when the API server restarts is no standby."""
    server = OneLease()
    server.down = True
    waiting = asyncio.create_task(candidate(server, "a").acquire())
    await asyncio.sleep(60)
    server.down = False
    await waiting

    assert holder(server) == "a"
