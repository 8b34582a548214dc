from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import pytest

from bulkhead_sandbox.gateway.memory import Conversations, MemoryFailed, Swept
from bulkhead_sandbox.gateway.memory import user_file as user_file_module
from bulkhead_sandbox.problems import Problem, Slug

from .conftest import TTL

if TYPE_CHECKING:
    from .conftest import Disk

SIZES = (1, 3, 40, 200, 1500)  # of 16 characters: within a page, and over many


async def fill(memory: Conversations, subject: str, word: str, ttl_seconds: int = TTL) -> str:
    """A conversation that says `word` in turns of all sizes; its handle."""
    handle = (await memory.create(subject, ttl_seconds=ttl_seconds, labels={"label": word})).handle
    for size in SIZES:
        await memory.append(subject, handle, [{"content": word * size}])
    return handle


def words(count: int) -> list[str]:
    """Sixteen characters each, none within another."""
    return [f"<word-{number:08}->" for number in range(count)]


async def test_deleted_conversation_is_nowhere_on_disk(memory: Conversations, disk: Disk) -> None:
    """Who gets the disk reads what users were promised to be erased."""
    gone, stays, others = words(3)
    handle = await fill(memory, "alice", gone)
    kept = await fill(memory, "alice", stays)
    await fill(memory, "bob", others)
    assert all(word.encode() in disk.raw() for word in (gone, stays, others))
    await memory.delete("alice", handle)
    raw = disk.raw()
    assert [word.encode() in raw for word in (gone, stays, others)] == [False, True, True]
    assert handle.encode() not in raw
    await memory.delete("alice", kept)
    assert stays.encode() not in disk.raw()
    assert len({name[:35] for name in disk.files()}) == 1


async def test_expired_conversation_is_nowhere_on_disk_after_a_sweep(
    memory: Conversations, disk: Disk
) -> None:
    """As above, for what nobody asked to erase."""
    gone, stays, others = words(3)
    await fill(memory, "alice", gone, 60)
    await fill(memory, "alice", stays)
    await fill(memory, "bob", others, 60)
    disk.time.passes(60)
    assert await memory.sweep() == Swept(conversations=2, turns=2 * len(SIZES), files=1)
    raw = disk.raw()
    assert [word.encode() in raw for word in (gone, stays, others)] == [False, True, False]
    disk.time.passes(TTL)
    await memory.sweep()
    assert (disk.files(), [path.name for path in disk.folder.iterdir()]) == ([], ["lock"])


async def test_evicted_turns_are_nowhere_on_disk_after_a_sweep(
    memory: Conversations, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are gone for the user; they must be for everybody."""
    monkeypatch.setattr(user_file_module, "MAX_TURNS", 2)
    handle = (await memory.create("alice")).handle
    said = words(12)
    for number, word in enumerate(said):
        await memory.append("alice", handle, [{"content": word * SIZES[number % len(SIZES)]}])
    assert await memory.sweep() == Swept()
    raw = disk.raw()
    assert [word for word in said if word.encode() in raw] == said[-2:]


async def test_many_deletions_leave_no_copies_on_moved_pages(memory: Conversations, disk: Disk) -> None:
    """SQLite moves records between pages; what it moved away from would still be there."""
    said = words(48)
    live: dict[str, str] = {}
    for number, word in enumerate(said):
        handle = (await memory.create("alice")).handle
        for size in (1, 7, 30, 5 * (number % 9) + 1, 200 * (number % 3) + 1):
            await memory.append("alice", handle, [{"content": word * size}])
        live[handle] = word
        if len(live) == 12:
            for gone in [*live][number % 5 :: 3]:
                await memory.delete("alice", gone)
                del live[gone]
            raw = disk.raw()
            assert [word for word in said if word.encode() in raw] == sorted(live.values())


async def test_user_and_everybody_can_be_erased_at_once(memory: Conversations, disk: Disk) -> None:
    """Teardown would leave what users said on a volume that somebody gets next."""
    alices, bobs, carols = words(3)
    for subject, word in (("alice", alices), ("bob", bobs), ("carol", carols)):
        await fill(memory, subject, word)
    await memory.delete_user("alice")
    await memory.delete_user("nobody")
    assert [word.encode() in disk.raw() for word in (alices, bobs, carols)] == [False, True, True]
    assert await memory.erase_all() == 2
    assert ([path.name for path in disk.folder.iterdir()], disk.raw()) == (["lock"], b"")
    # It goes on working: a teardown can be late, and users early.
    await memory.get("alice", await fill(memory, "alice", alices))


async def test_what_is_erased_is_overwritten_before_it_is_unlinked(memory: Conversations, disk: Disk) -> None:
    """Blocks of an unlinked file keep their bytes; a name that is left shows them."""
    (word,) = words(1)
    await fill(memory, "alice", word)
    for name in disk.files():
        (disk.folder / f"left-{name}").hardlink_to(disk.folder / name)
    assert word.encode() in disk.raw()
    await memory.erase_all()
    raw = disk.raw()
    assert raw
    assert set(raw) == {0}


async def test_erasing_counts_for_the_other_process_too(disk: Disk) -> None:
    """Its open handle and its log would keep what was erased."""
    (word,) = words(1)
    async with disk.gateway() as one, disk.gateway() as other:
        handle = await fill(one, "alice", word)
        assert len(await other.messages("alice", handle)) == len(SIZES)
        await other.append("alice", handle, [{"content": word}])
        await one.delete("alice", handle)
        assert word.encode() not in disk.raw()
        with pytest.raises(Problem):
            await other.append("alice", handle, [{"content": word}])
        assert word.encode() not in disk.raw()
    assert [path.name for path in disk.folder.iterdir()] == ["lock"]


async def test_what_another_process_left_is_swept(disk: Disk) -> None:
    """A gateway that was killed leaves files, logs and logs without files."""
    (word,) = words(1)
    async with disk.gateway() as first:
        await fill(first, "alice", word, 60)
    (disk.folder / f"{'0' * 32}.db-wal").write_text(word)
    (disk.folder / f"{'1' * 32}.db").write_text(word * 1000)
    disk.time.passes(61)
    async with disk.gateway() as second:
        assert await second.sweep() == Swept(conversations=1, turns=len(SIZES), files=3)
        assert ([path.name for path in disk.folder.iterdir()], disk.raw()) == (["lock"], b"")
        assert await second.sweep() == Swept()


async def test_broken_file_fails_its_user_and_goes_with_the_next_sweep(
    memory: Conversations, disk: Disk
) -> None:
    """One bad block would end everybody's conversations, or keep its own for ever."""
    handle, bobs = (await memory.create("alice")).handle, (await memory.create("bob")).handle
    path = disk.folder / memory._folder._name("alice")
    await memory.close()
    path.write_bytes(b"not a database, " * 1000)
    async with disk.gateway() as again:
        with pytest.raises(MemoryFailed) as caught:
            await again.get("alice", handle)
        assert (caught.value.reason, caught.value.slug) == ("file-corrupt", Slug.NOT_READY)
        await again.get("bob", bobs)
        assert await again.sweep() == Swept(files=1)
        with pytest.raises(Problem) as refused:
            await again.get("alice", handle)
        assert refused.value.slug is Slug.NOT_FOUND
    # The fixture closes it once more.
    memory._thread = type(memory._thread)(1)


async def test_gateway_that_cannot_erase_does_not_start(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SQLite that was built otherwise would leave every deleted text where it was."""
    otherwise = {"PRAGMA secure_delete = ON": "PRAGMA secure_delete = OFF", "VACUUM": "SELECT 1"}

    def run(self: user_file_module.UserFile, statement: str, *values: str) -> list[object]:
        return list(self._connection.execute(otherwise.get(statement, statement), values))

    monkeypatch.setattr(user_file_module.UserFile, "_run", run)
    with pytest.raises(MemoryFailed) as caught:
        async with disk.gateway():
            pytest.fail("it started")
    assert caught.value.reason == "deleted-text-stays-on-disk"


async def test_gateway_whose_proof_sees_nothing_does_not_start(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proof that looks in the wrong place finds nothing either."""
    monkeypatch.setattr("bulkhead_sandbox.gateway.memory.folder.parts", lambda _: iter(()))
    with pytest.raises(MemoryFailed) as caught:
        async with disk.gateway():
            pytest.fail("it started")
    assert caught.value.reason == "deleted-text-stays-on-disk"


async def test_folder_that_cannot_be_made_is_a_failure(disk: Disk) -> None:
    """The role would die of a traceback instead of being not ready."""
    disk.folder.parent.joinpath("memory").write_text("a file")
    with pytest.raises(MemoryFailed) as caught:
        async with disk.gateway():
            pytest.fail("it started")
    assert caught.value.reason == "make-FileExistsError"


async def test_sqlite_failure_holds_no_text(memory: Conversations, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite quotes what it chokes on, and that would stand in a log."""
    handle = (await memory.create("alice")).handle

    def full(*_: object) -> int:
        raise apsw.FullError("INSERT 'secret words'")

    monkeypatch.setattr(user_file_module.UserFile, "append", full)
    with pytest.raises(MemoryFailed) as caught:
        await memory.append("alice", handle, [{"content": "secret words"}])
    assert caught.value.reason == "use-FullError"
    assert "secret" not in str(caught.value)
