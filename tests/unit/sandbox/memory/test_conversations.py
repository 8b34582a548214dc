from __future__ import annotations

import asyncio
import re
import stat
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead_sandbox.gateway.memory import Conversations, MemoryFailed, Swept
from bulkhead_sandbox.gateway.memory import folder as folder_module
from bulkhead_sandbox.gateway.memory.user_file import MAX_BYTES, MAX_CONVERSATIONS, MAX_TURNS
from bulkhead_sandbox.problems import Problem, Slug

from .conftest import TTL

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from .conftest import Disk

HELLO = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]


async def slug(call: Awaitable[Any]) -> Slug:
    """Why `call` was refused."""
    with pytest.raises(Problem) as caught:
        await call
    return caught.value.slug


async def test_turns_come_back_in_order(memory: Conversations) -> None:
    """A model would read its conversation mixed up."""
    opened = await memory.create("alice", ttl_seconds=60, labels={"agent": "x"})
    assert re.fullmatch("h_[0-9a-f]{32}", opened.handle)
    assert (opened.expires_at - opened.created_at, opened.labels) == (60.0, {"agent": "x"})
    assert await memory.get("alice", opened.handle) == opened
    assert await memory.messages("alice", opened.handle) == []
    for number in range(12):
        assert await memory.append("alice", opened.handle, [{"n": number}, {"n": -number}]) == 0
    assert await memory.messages("alice", opened.handle) == [{"n": n} for i in range(12) for n in (i, -i)]


async def test_foreign_expired_deleted_and_invented_handles_are_one_answer(
    memory: Conversations, disk: Disk
) -> None:
    """Who asks with another's handle could learn that it is there."""
    theirs = (await memory.create("bob")).handle
    deleted = (await memory.create("alice")).handle
    await memory.delete("alice", deleted)
    expired = (await memory.create("alice", ttl_seconds=1)).handle
    disk.time.passes(1)
    for handle in (
        theirs,
        deleted,
        expired,
        "h_" + "0" * 32,
        "h_" + "0" * 31,
        "",
        theirs.upper(),
        theirs + "\n",
    ):
        for subject in ("alice", "nobody"):
            calls = (
                memory.get(subject, handle),
                memory.messages(subject, handle),
                memory.append(subject, handle, HELLO),
                memory.delete(subject, handle),
            )
            for call in calls:
                with pytest.raises(Problem) as caught:
                    await call
                assert caught.value.body("rid") == Problem(Slug.NOT_FOUND).body("rid")
    assert await memory.messages("bob", theirs) == []


TWINS = [
    "a",
    "A",
    "a.",
    "a:",
    "a-",
    "a_",
    ".a",
    "a.b",
    "a:b",
    "ab",
    "aa",
    "a" * 64,
    "..",
    ".",
    "a.db",
    "lock",
]


async def test_users_with_nearly_the_same_name_share_nothing(memory: Conversations) -> None:
    """A name that is folded, split or taken for a path would open another's file."""
    handles = {subject: (await memory.create(subject)).handle for subject in TWINS}
    for subject, handle in handles.items():
        await memory.append(subject, handle, [{"content": f"of {subject}"}])
    for subject in TWINS:
        for owner, handle in handles.items():
            if owner == subject:
                assert await memory.messages(subject, handle) == [{"content": f"of {subject}"}]
            else:
                assert await slug(memory.messages(subject, handle)) is Slug.NOT_FOUND
    await memory.delete_user("a")
    assert await slug(memory.get("a", handles["a"])) is Slug.NOT_FOUND
    assert await memory.messages("A", handles["A"]) == [{"content": "of A"}]


async def test_user_without_a_name_is_an_error(memory: Conversations) -> None:
    """An empty name would be everybody's."""
    with pytest.raises(ValueError, match="name"):
        await memory.create("")


async def test_no_conversation_outlasts_the_workspaces_time(memory: Conversations) -> None:
    """A caller would choose how long we keep things."""
    for asked in (None, TTL + 1, 10**9):
        opened = await memory.create("alice", ttl_seconds=asked)
        assert opened.expires_at - opened.created_at == TTL


async def test_turn_may_expire_before_its_conversation(memory: Conversations, disk: Disk) -> None:
    """What should be forgotten soon would be remembered as long as the rest."""
    handle = (await memory.create("alice", turn_ttl_seconds=10)).handle
    assert (await memory.get("alice", handle)).turn_ttl_seconds == 10
    await memory.append("alice", handle, [{"content": "first"}])
    disk.time.passes(6)
    await memory.append("alice", handle, [{"content": "second"}])
    disk.time.passes(4)
    assert await memory.messages("alice", handle) == [{"content": "second"}]
    assert await memory.sweep() == Swept(turns=1)
    disk.time.passes(TTL - 10)
    assert await slug(memory.messages("alice", handle)) is Slug.NOT_FOUND
    assert await memory.sweep() == Swept(conversations=1, turns=1, files=1)


async def test_no_turn_outlasts_its_conversation(memory: Conversations, disk: Disk) -> None:
    """A long time for turns would keep them when the conversation is over."""
    handle = (await memory.create("alice", ttl_seconds=10, turn_ttl_seconds=10**9)).handle
    await memory.append("alice", handle, HELLO)
    disk.time.passes(10)
    assert await memory.sweep() == Swept(conversations=1, turns=1, files=1)


async def test_whole_turns_go_when_there_are_too_many(memory: Conversations) -> None:
    """An answer without its question, or memory without bounds."""
    handle = (await memory.create("alice")).handle
    evicted = [await memory.append("alice", handle, [{"q": n}, {"a": n}]) for n in range(MAX_TURNS + 3)]
    assert evicted == [0] * MAX_TURNS + [1, 1, 1]
    kept = await memory.messages("alice", handle)
    assert (len(kept), kept[:2], kept[-1]) == (2 * MAX_TURNS, [{"q": 3}, {"a": 3}], {"a": MAX_TURNS + 2})


async def test_whole_turns_go_when_they_are_too_large(memory: Conversations) -> None:
    """As above, by size."""
    handle = (await memory.create("alice")).handle
    third = [{"content": "x" * (MAX_BYTES // 3 - 100)}]
    evicted = [await memory.append("alice", handle, third) for _ in range(5)]
    assert evicted == [0, 0, 0, 1, 1]
    assert await memory.append("alice", handle, [{"content": "y" * (MAX_BYTES - 20)}]) == 3
    assert (
        await slug(memory.append("alice", handle, [{"content": "z" * MAX_BYTES}])) is Slug.CONTEXT_TOO_LARGE
    )
    assert len(await memory.messages("alice", handle)) == 1


async def test_user_has_so_many_conversations_and_no_more(memory: Conversations, disk: Disk) -> None:
    """One user would fill the disk for all."""
    for _ in range(MAX_CONVERSATIONS):
        await memory.create("alice", ttl_seconds=60)
    with pytest.raises(Problem) as caught:
        await memory.create("alice")
    assert (caught.value.slug, caught.value.limit) == (Slug.TOO_MANY_CONCURRENT, "user-conversations")
    await memory.create("bob")
    disk.time.passes(60)
    await memory.create("alice")


async def test_nothing_more_is_kept_when_the_volume_fills(
    memory: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The audit log is on the same volume and would stop the gateway."""
    handle = (await memory.create("alice")).handle
    monkeypatch.setattr(memory._folder, "_free", lambda _: 0.19)
    with pytest.raises(MemoryFailed) as caught:
        await memory.append("alice", handle, HELLO)
    assert (caught.value.slug, caught.value.reason) == (Slug.NOT_READY, "no-room")
    assert await memory.messages("alice", handle) == []
    await memory.delete("alice", handle)


async def test_clock_that_is_set_back_brings_nothing_back(memory: Conversations, disk: Disk) -> None:
    """An expired conversation would be readable again, and live ones for ever."""
    handle = (await memory.create("alice", ttl_seconds=60)).handle
    await memory.append("alice", handle, HELLO)
    disk.time.passes(61)
    assert await slug(memory.get("alice", handle)) is Slug.NOT_FOUND
    disk.time.wall -= 10_000
    assert await slug(memory.get("alice", handle)) is Slug.NOT_FOUND
    later = (await memory.create("alice", ttl_seconds=60)).handle
    disk.time.passes(59)
    await memory.get("alice", later)
    disk.time.passes(1)
    assert await slug(memory.get("alice", later)) is Slug.NOT_FOUND


async def test_restart_with_a_clock_that_was_set_back_keeps_nothing_longer(disk: Disk) -> None:
    """As above, for a process that has not seen the time pass."""
    async with disk.gateway() as before:
        handle = (await before.create("alice", ttl_seconds=60)).handle
        disk.time.passes(50)
        await before.append("alice", handle, HELLO)
    disk.time.wall -= 10_000
    async with disk.gateway() as after:
        await after.get("alice", handle)
        disk.time.passes(10)
        assert await slug(after.get("alice", handle)) is Slug.NOT_FOUND
        assert await after.sweep() == Swept(conversations=1, turns=1, files=1)


async def test_two_gateways_share_the_folder(disk: Disk) -> None:
    """During a rolling update, a user's next call may go to either."""
    async with disk.gateway() as old, disk.gateway() as new:
        handle = (await old.create("alice")).handle
        await asyncio.gather(*(g.append("alice", handle, [{"n": n}]) for n in range(20) for g in (old, new)))
        assert sorted(m["n"] for m in await new.messages("alice", handle)) == sorted([*range(20)] * 2)
        # The one takes the file away under the other's open handle; a new one is another file.
        await new.delete("alice", handle)
        assert await slug(old.get("alice", handle)) is Slug.NOT_FOUND
        again = (await new.create("alice")).handle
        await old.append("alice", again, HELLO)
        await new.append("alice", again, HELLO)
        assert await old.messages("alice", again) == HELLO * 2
    async with disk.gateway() as third:
        assert await third.messages("alice", again) == HELLO * 2


async def test_more_users_than_open_files(
    memory: Conversations, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process would run out of descriptors."""
    monkeypatch.setattr(folder_module, "MAX_OPEN", 3)
    handles = {f"user-{n}": (await memory.create(f"user-{n}")).handle for n in range(10)}
    for _ in range(2):
        for subject, handle in handles.items():
            await memory.append(subject, handle, [{"of": subject}])
            assert len(memory._folder._open) <= 3
    for subject, handle in handles.items():
        assert await memory.messages(subject, handle) == [{"of": subject}] * 2
    assert await memory.sweep() == Swept()


async def test_process_that_hangs_does_not_hang_the_other(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stopped gateway would stop its successor."""
    async with disk.gateway() as stuck, disk.gateway() as other:
        handle = (await other.create("alice")).handle
        monkeypatch.setattr(folder_module, "_LOCK_ATTEMPTS", 2)
        monkeypatch.setattr(folder_module, "_LOCK_PAUSE_SECONDS", 0)
        with stuck._folder._locked(), pytest.raises(MemoryFailed) as caught:
            await other.get("alice", handle)
        assert caught.value.reason == "lock-held"
        await other.get("alice", handle)


async def test_files_are_for_nobody_else_and_named_by_no_user(memory: Conversations, disk: Disk) -> None:
    """A backup or a neighbour would list who talks here."""
    await memory.create("alice.secret-name")
    await memory.append("alice.secret-name", (await memory.create("alice.secret-name")).handle, HELLO)
    assert stat.S_IMODE(disk.folder.stat().st_mode) == 0o700
    names = disk.files()
    assert re.fullmatch(r"[0-9a-f]{32}\.db", names[0])
    for name in names:
        assert stat.S_IMODE((disk.folder / name).stat().st_mode) == 0o600
    assert b"secret-name" not in disk.raw()
