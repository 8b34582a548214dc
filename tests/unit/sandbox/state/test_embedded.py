"""What survives a restart, what two processes agree on, and what happens when the disk does not take it."""

from __future__ import annotations

import asyncio
import stat
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import apsw
import orjson
import pytest

from bulkhead_sandbox.gateway.state import EmbeddedState, StateFailed, embedded
from bulkhead_sandbox.gateway.state.database import Database
from bulkhead_sandbox.logs import Log

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DAY = "2027-01-15"
NEXT = "2027-01-16"
NOW = 1_800_000_000.0  # on that day


class Wall:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "state.db"


@asynccontextmanager
async def opened(
    path: Path, wall: Wall, lines: asyncio.Queue[bytes] | None = None
) -> AsyncIterator[EmbeddedState]:
    """The state, given up at the end."""
    log = Log((asyncio.Queue() if lines is None else lines).put_nowait, wall)
    state = await EmbeddedState.open(path, wall=wall, kept_from=1000, log=log)
    try:
        yield state
    finally:
        await state.close()


async def test_counters_survive_a_restart(path: Path, wall: Wall) -> None:
    """A restart would be a new day's budget."""
    async with opened(path, wall) as state:
        state.add(DAY, "u:alice", 70)
        state.add(DAY, "u:alice", -20)
        assert (50, 0, 0) == (state.get(DAY, "u:alice"), state.get(DAY, "u:bob"), state.get(NEXT, "u:alice"))
    async with opened(path, wall) as state:
        assert 50 == state.get(DAY, "u:alice")


async def test_what_is_counted_reaches_the_file_without_being_asked(
    path: Path, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed has lost a second at most."""
    written = asyncio.Event()
    loop = asyncio.get_running_loop()
    plain = Database.write

    def write(self: Database, *arguments: Any) -> Any:
        stored = plain(self, *arguments)
        loop.call_soon_threadsafe(written.set)
        return stored

    monkeypatch.setattr(Database, "write", write)
    monkeypatch.setattr(embedded, "_FLUSH_SECONDS", 0)
    async with opened(path, wall) as state:
        flushing = asyncio.create_task(state.flushing())
        state.add(DAY, "u:alice", 5)
        await asyncio.wait_for(written.wait(), 10)
        async with opened(path, wall) as other:
            assert 5 == other.get(DAY, "u:alice")
        flushing.cancel()


async def test_two_processes_count_into_one_sum(path: Path, wall: Wall) -> None:
    """In a rolling update the old and the new gateway spend at the same time."""
    async with opened(path, wall) as old, opened(path, wall) as new:
        old.add(DAY, "u:alice", 10)
        new.add(DAY, "u:alice", 200)
        await old.flush()
        await new.flush()
        assert 210 == new.get(DAY, "u:alice")
        old.add(DAY, "u:alice", 1)
        await old.flush()
        assert 211 == old.get(DAY, "u:alice")


async def test_what_is_counted_during_a_write_is_not_lost(
    path: Path, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls end while the thread writes."""
    loop = asyncio.get_running_loop()
    plain = Database.write
    async with opened(path, wall) as state:

        def write(self: Database, *arguments: Any) -> Any:
            asyncio.run_coroutine_threadsafe(count(), loop).result(10)
            return plain(self, *arguments)

        async def count() -> None:
            state.add(DAY, "u:alice", 7)

        state.add(DAY, "u:alice", 10)
        monkeypatch.setattr(Database, "write", write)
        await state.flush()
        monkeypatch.undo()
        assert 17 == state.get(DAY, "u:alice")
    async with opened(path, wall) as state:
        assert 17 == state.get(DAY, "u:alice")


async def test_a_token_id_stands_for_one_token(path: Path, wall: Wall) -> None:
    """Two tokens with one id: one of them was made by somebody else."""
    async with opened(path, wall) as state:
        assert [True, True, False] == [state.first_use("j1", d, int(NOW) + 600) for d in (b"a", b"a", b"b")]
    async with opened(path, wall) as state:
        assert [False, True] == [state.first_use("j1", digest, int(NOW) + 600) for digest in (b"b", b"a")]


async def test_the_first_of_two_processes_to_write_decides_whose_token_it_is(path: Path, wall: Wall) -> None:
    """The other one learns of it with its next write."""
    async with opened(path, wall) as old, opened(path, wall) as new:
        assert old.first_use("j1", b"a", int(NOW) + 600)
        await old.flush()
        assert new.first_use("j1", b"b", int(NOW) + 600)
        await new.flush()
        assert not new.first_use("j1", b"b", int(NOW) + 600)


async def test_expired_tokens_make_room_and_live_ones_do_not(
    path: Path, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of tokens fills no memory and pushes no live one out."""
    monkeypatch.setattr(embedded, "MAX_SEEN", 3)
    async with opened(path, wall) as state:
        for number in range(3):
            assert state.first_use(f"j{number}", b"a", int(NOW) + 10 * number)
        with pytest.raises(StateFailed):
            state.first_use("new", b"a", int(NOW) + 600)
        assert state.first_use("j0", b"a", int(NOW))
        wall.now += 5
        assert state.first_use("new", b"a", int(NOW) + 600)
        wall.now += 100
        await state.flush()
    async with opened(path, wall) as state:
        # Nothing is known of these any more; only a token that is refused as expired could ask.
        assert [True, False] == [state.first_use(one, b"b", int(NOW) + 900) for one in ("j1", "new")]


async def test_the_epoch_never_goes_back(path: Path, wall: Wall) -> None:
    """Revoked sessions would come back to life."""
    async with opened(path, wall) as state:
        assert 0 == state.epoch()
        await state.raise_epoch(5)
        await state.raise_epoch(3)
        assert 5 == state.epoch()
        async with opened(path, wall) as other:  # durable at once, not at the end
            assert 5 == other.epoch()


async def test_an_old_day_is_forgotten_unless_it_was_overspent(path: Path, wall: Wall) -> None:
    """Users times days would fill memory; debts are what the limiter still asks for."""
    async with opened(path, wall) as state:
        state.add(DAY, "u:thrifty", 1000)
        state.add(DAY, "u:spender", 1001)
        state.add(NEXT, "u:thrifty", 1)
        assert (0, 1001) == (state.get(DAY, "u:thrifty"), state.get(DAY, "u:spender"))
    wall.now += 86_400
    async with opened(path, wall) as state:
        found = [state.get(day, key) for key in ("u:thrifty", "u:spender") for day in (DAY, NEXT)]
        assert [0, 1, 1001, 0] == found
    wall.now += 9 * 86_400
    async with opened(path, wall) as state:
        assert 0 == state.get(DAY, "u:spender")


async def test_a_settlement_after_midnight_counts_on_the_day_of_its_call(path: Path, wall: Wall) -> None:
    """A long call must not take the new day's memory of others with it."""
    async with opened(path, wall) as state:
        state.add(DAY, "u:alice", 100)
        state.add(NEXT, "u:bob", 9)
        state.add(DAY, "u:alice", -40)
        assert 9 == state.get(NEXT, "u:bob")
    async with opened(path, wall) as state:
        assert 60 == state.get(DAY, "u:alice")


async def test_a_file_that_cannot_be_written_stops_the_counting_until_it_can(
    path: Path, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counting on in memory would promise what a restart breaks; what was counted before is kept."""
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    monkeypatch.setattr(embedded, "_FLUSH_SECONDS", 0)
    plain = Database.write
    full = True

    def write(self: Database, *arguments: Any) -> Any:
        if full:
            raise StateFailed("write") from apsw.FullError()
        return plain(self, *arguments)

    async def said() -> tuple[str, str | None]:
        line = orjson.loads(await asyncio.wait_for(lines.get(), 10))
        return line["event"], line.get("error")

    monkeypatch.setattr(Database, "write", write)
    async with opened(path, wall, lines) as state:
        flushing = asyncio.create_task(state.flushing())
        state.add(DAY, "u:alice", 10)
        assert ("state.failed", "FullError") == await said()
        assert not state.healthy
        with pytest.raises(StateFailed):
            state.add(DAY, "u:alice", 10)
        with pytest.raises(StateFailed):
            state.first_use("j1", b"a", int(NOW) + 600)
        full = False
        assert ("state.recovered", None) == await said()
        state.add(DAY, "u:alice", 1)
        flushing.cancel()
    async with opened(path, wall) as state:
        assert 11 == state.get(DAY, "u:alice")


@pytest.mark.parametrize("damage", [b"this is no database" * 100, b"SQLite format 3\x00" + b"\xff" * 4096])
async def test_a_file_that_is_no_database_stops_the_start(tmp_path: Path, wall: Wall, damage: bytes) -> None:
    """Starting empty would be a refill for whoever can damage the file."""
    path = tmp_path / "state.db"
    path.write_bytes(damage)
    with pytest.raises(StateFailed):
        async with opened(path, wall):
            pass


async def test_a_file_of_a_newer_version_is_left_alone(path: Path, wall: Wall) -> None:
    """A rolled-back gateway must not write what the newer one reads differently."""
    async with opened(path, wall):
        pass
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(StateFailed):
        async with opened(path, wall):
            pass


async def test_the_file_is_readable_by_the_gateway_alone(path: Path, wall: Wall) -> None:
    """It tells who used the workspace, and how much."""
    async with opened(path, wall) as state:
        state.add(DAY, "u:alice", 1)
        await state.flush()
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert {0o600} == modes


async def test_nothing_is_written_while_nothing_happens(
    path: Path, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand idle workspaces must cost no disk."""
    async with opened(path, wall) as state:
        monkeypatch.setattr(Database, "write", None)
        await state.flush()
        monkeypatch.undo()
