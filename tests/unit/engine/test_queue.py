"""The work queue on a clock that costs nothing."""

from __future__ import annotations

import asyncio

import pytest

from bulkhead.engine.queue import Backoff, Priority, QueueClosed, WorkQueue

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


def queue(**options: object) -> WorkQueue:
    return WorkQueue(random=lambda: 1.0, **options)  # type: ignore[arg-type]


async def order(work: WorkQueue, count: int) -> list[str]:
    """The next keys, each worked on for no time."""
    keys = []
    for _ in range(count):
        key = await work.get()
        work.done(key)
        keys.append(key)
    return keys


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_key_is_in_the_queue_once() -> None:
    """A burst of events about one workspace must cost one reconcile."""
    work = queue()
    for _ in range(3):
        work.add("a")

    assert len(work) == 1


async def test_a_key_is_never_with_two_workers() -> None:
    """Two reconciles of one workspace would write over each other."""
    work = queue()
    work.add("a")
    await work.get()
    work.add("a")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1000):
            await work.get()


async def test_a_key_dirtied_while_running_runs_again() -> None:
    """The running reconcile may have read before the change."""
    work = queue()
    work.add("a")
    await work.get()
    work.add("a")
    work.done("a")

    assert await work.get() == "a"


async def test_fresh_edits_overtake_the_background() -> None:
    """At start every workspace is in the queue; an edit must not wait for all of them."""
    work = queue()
    work.add("old-1", Priority.BACKGROUND)
    work.add("old-2", Priority.BACKGROUND)
    work.add("edited")

    assert await order(work, 3) == ["edited", "old-1", "old-2"]


async def test_an_edit_moves_a_waiting_key_up() -> None:
    """The key is already there from the flood; its edit is still fresh."""
    work = queue()
    work.add("a", Priority.BACKGROUND)
    work.add("b", Priority.BACKGROUND)
    work.add("b", Priority.FRESH)

    assert await order(work, 2) == ["b", "a"]


async def test_of_delayed_entries_the_earliest_wins() -> None:
    """A later wish must not push an earlier one away."""
    work = queue()
    work.add_after("a", 10)
    work.add_after("a", 5)
    work.add_after("a", 20)

    assert (await work.get(), now()) == ("a", 5)


async def test_delayed_keys_come_in_the_order_of_their_times() -> None:
    """One timer serves all; it must be moved when an earlier entry comes."""
    work = queue()
    work.add_after("c", 30)
    work.add_after("a", 10)
    work.add_after("b", 20)

    assert await order(work, 3) == ["a", "b", "c"]
    assert now() == 30


async def test_a_handed_out_key_has_no_old_wish() -> None:
    """The reconcile that runs now says itself when it wants to come again."""
    work = queue()
    work.add_after("a", 10)
    work.add("a")
    await order(work, 1)

    assert work.delayed == 0


async def test_failures_back_off_and_success_forgets() -> None:
    """A broken workspace must not take the workers from the others, and must recover fast once mended."""
    work = queue(backoff=Backoff(1, 10))

    pauses = [work.retry("a") for _ in range(6)]
    work.forget("a")

    assert pauses == [1, 2, 4, 8, 10, 10]
    assert work.retry("a") == 1


async def test_backoff_is_spread_by_chance() -> None:
    """Workspaces that failed together must not come back together."""
    backoff = Backoff(1, 300)

    assert (backoff.seconds(1, lambda: 0.0), backoff.seconds(1, lambda: 1.0)) == (0.8, 1.0)


async def test_waiting_workers_are_woken_one_per_key() -> None:
    """A key without a woken worker would wait for the next event."""
    work = queue()
    workers = [asyncio.create_task(work.get()) for _ in range(3)]
    await asyncio.sleep(0)
    for key in ("a", "b", "c"):
        work.add(key)

    assert sorted(await asyncio.gather(*workers)) == ["a", "b", "c"]


async def test_a_cancelled_worker_passes_its_wakeup_on() -> None:
    """Else the key sits in the queue while another worker sleeps."""
    work = queue()
    first, second = (asyncio.create_task(work.get()) for _ in range(2))
    await asyncio.sleep(0)
    work.add("a")
    first.cancel()

    assert await second == "a"


async def test_close_ends_waiting_workers() -> None:
    """Shutdown must not wait for work that never comes."""
    work = queue()
    worker = asyncio.create_task(work.get())
    await asyncio.sleep(0)
    work.close()

    with pytest.raises(QueueClosed):
        await worker


async def test_oldest_is_the_age_of_the_longest_waiting_key() -> None:
    """Liveness judges by it; a promoted key keeps its age."""
    work = queue()
    work.add("a", Priority.BACKGROUND)
    await asyncio.sleep(7)
    work.add("b")
    work.add("a")

    assert work.oldest_seconds() == 7
