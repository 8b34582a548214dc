"""The log as handlers see it: durable before work, in batches, refusing when the disk does."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from support.audit_files import identity, ledger, point, records, report

from bulkhead_sandbox.gateway.audit import AuditLog, content_mac, open_audit
from bulkhead_sandbox.logs import Log
from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

NOW = 1_800_000_000.0
SEED = b"\x05" * 32


def opened(folder: Path, lines: list[dict[str, Any]] | None = None) -> AbstractAsyncContextManager[AuditLog]:
    said: list[dict[str, Any]] = [] if lines is None else lines
    log = Log(lambda line: said.append(orjson.loads(line)), lambda: NOW)
    return open_audit(folder, identity=identity(), signing_seed=SEED, wall=lambda: NOW, log=log)


class Disk:
    """Stands in front of fdatasync: holds it back, or makes it fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.open.set()
        self.error: OSError | None = None
        self.syncs = 0
        self._sync: Callable[[int], None] = os.fdatasync
        monkeypatch.setattr(os, "fdatasync", self._fdatasync)

    def _fdatasync(self, descriptor: int) -> None:
        self.open.wait()
        self.syncs += 1
        if self.error is not None:
            raise self.error
        self._sync(descriptor)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def _until_healthy(audit: AuditLog) -> None:
    while not audit.healthy:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0.01)


async def test_begin_returns_after_the_sync_and_not_before(tmp_path: Path, disk: Disk) -> None:
    """A record in the page cache is none after a power cut, and the upstream has been called."""
    async with opened(tmp_path) as audit:
        disk.open.clear()
        beginning = asyncio.ensure_future(audit.begin("tool"))
        await _turns()

        assert not beginning.done()

        disk.open.set()
        ref = await beginning
        assert "begin" == records(tmp_path)[ref.seq]["phase"]


async def test_calls_that_come_together_share_a_sync(tmp_path: Path, disk: Disk) -> None:
    """A sync each would bound the gateway by its disk."""
    async with opened(tmp_path) as audit:
        before = disk.syncs
        refs = await asyncio.gather(*(audit.begin("tool", rid=str(number)) for number in range(60)))

        assert disk.syncs - before <= 2
        assert [str(number) for number in range(60)] == [records(tmp_path)[ref.seq]["rid"] for ref in refs]


async def test_the_end_names_its_begin_and_its_duration(tmp_path: Path) -> None:
    """Otherwise nobody could say what became of which call."""
    async with opened(tmp_path) as audit:
        ref = await audit.begin("chat", model="default")
        await audit.end(ref, "truncated", why="client-left", usage={"in": 3, "out": 0})

    [ended] = [record for record in records(tmp_path) if record["phase"] == "end"]
    assert ("chat", ref.seq, "truncated", "client-left") == tuple(
        ended[name] for name in ("ev", "ref", "out", "why")
    )
    assert ended["ms"] >= 0


async def test_closing_signs_everything(tmp_path: Path) -> None:
    """A log that ends in order shows it: nothing unsigned is left for somebody to change."""
    async with opened(tmp_path) as audit:
        await audit.point("security", "deny", why="foreign-canary", sev="critical")

    said = report(tmp_path)
    assert said.seq - 1 == said.signed_seq
    assert ["config", "security", "drain", "checkpoint"] == [r["ev"] for r in records(tmp_path)][-4:]


@pytest.mark.parametrize(
    "fields",
    [{"prompt": "secret text"}, {"target": {"tool": "naïve"}}, {"ms": 1.5}, {"why": "With Words"}],
)
async def test_what_is_no_record_is_a_mistake_of_the_caller_alone(
    tmp_path: Path, fields: dict[str, Any]
) -> None:
    """Found in the batch, it would take 63 others with it; unnoticed, it would put content on disk."""
    async with opened(tmp_path) as audit:
        with pytest.raises(ValueError, match="no audit record"):
            await audit.begin("tool", **fields)
        await audit.begin("tool")

        assert audit.healthy


async def test_a_caller_who_leaves_before_the_sync_leaves_no_open_call(tmp_path: Path, disk: Disk) -> None:
    """A client that closes its connection cancels the handler, and the begin may be on its way."""
    async with opened(tmp_path) as audit:
        disk.open.clear()
        leaving = asyncio.ensure_future(audit.begin("chat"))
        await _turns()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        disk.open.set()
        await audit.begin("tool")

    assert [("chat", "error", "abandoned")] == [
        (record["ev"], record["out"], record["why"])
        for record in records(tmp_path)
        if record["phase"] == "end"
    ]


async def test_a_caller_who_leaves_while_waiting_leaves_nothing(tmp_path: Path, disk: Disk) -> None:
    """No call was made, so there is nothing to tell."""
    async with opened(tmp_path) as audit:
        disk.open.clear()
        first = asyncio.ensure_future(audit.begin("tool"))
        await _turns()
        second = asyncio.ensure_future(audit.begin("chat"))
        await _turns()
        second.cancel()
        await _turns()
        disk.open.set()
        await first

    assert [] == records(tmp_path, ev="chat")


async def test_a_failing_sync_refuses_work_until_writing_works_again(tmp_path: Path, disk: Disk) -> None:
    """Work without a record, or a record thrown away, is what must never be; and a hiccup must pass."""
    lines: list[dict[str, Any]] = []
    async with opened(tmp_path, lines) as audit:
        ref = await audit.begin("tool", rid="before")
        disk.error = OSError(5, "Input/output error")
        refused = []
        for _ in range(2):
            with pytest.raises(Problem) as caught:
                await audit.begin("tool", rid="refused")
            refused.append(caught.value.slug)
        with pytest.raises(Problem):
            await audit.point("security", "deny")
        assert [Slug.AUDIT_UNAVAILABLE] * 2 == refused
        assert not audit.healthy
        await audit.end(ref, "allow")

        disk.error = None
        await _until_healthy(audit)
        await audit.begin("tool", rid="after")

    found = records(tmp_path)
    assert ["before", "after"] == [record["rid"] for record in found if record["phase"] == "begin"]
    assert [ref.seq] == [record["ref"] for record in found if record["phase"] == "end"]
    assert ["write-failed"] == [record["why"] for record in records(tmp_path, ev="recovery")]
    assert ["audit.writes", "audit.failed", "audit.writes"] == [line["event"] for line in lines]
    report(tmp_path)


async def test_a_folder_that_cannot_be_made_refuses_work_and_is_tried_again(tmp_path: Path) -> None:
    """A volume that comes late must not end the process, nor let it work without a log."""
    blocked = tmp_path / "volume"
    blocked.write_text("")
    async with opened(blocked / "audit") as audit:
        assert not audit.healthy
        with pytest.raises(Problem):
            await audit.begin("tool")
        blocked.unlink()
        await _until_healthy(audit)
        await audit.begin("tool")

    report(blocked / "audit")


async def test_a_cut_log_refuses_work_for_good(tmp_path: Path) -> None:
    """Until somebody has looked: the gateway cannot know why records are gone."""
    async with opened(tmp_path) as audit:
        await audit.begin("tool")
        file = tmp_path / f"{0:015}.jsonl"
        os.truncate(file, sum(map(len, file.read_bytes().splitlines(keepends=True)[:2])))

        with pytest.raises(Problem):
            await audit.begin("tool")

        told = await audit.head()
        assert (1, False, False) == (told.seq, told.intact, audit.healthy)
        assert 2 == len(file.read_bytes().splitlines())


async def test_records_and_head_go_together(tmp_path: Path) -> None:
    """The operator reads the head, then the records up to it."""
    async with opened(tmp_path) as audit:
        for _ in range(5):
            await audit.begin("tool")
        told = await audit.head()
        page = await audit.records(told.seq - 2, 500)

        assert [told.seq - 1, told.seq] == [orjson.loads(line)["seq"] for line in page]
        assert told.head == orjson.loads(page[-1])["hash"]
        assert told.seq == audit.seq


async def test_records_of_the_other_process_are_given_too(tmp_path: Path) -> None:
    """In a rolling update the reader meets either gateway, and must find the same log."""
    async with opened(tmp_path) as audit:
        known = audit.seq
        other = ledger(tmp_path, "gateway-b.1")
        other.append([point()], NOW, sign=False)
        other.close()

        assert [known + 1, known + 2] == [
            orjson.loads(line)["seq"] for line in await audit.records(known, 500)
        ]
        assert 0 == audit.lag_seconds()


async def test_the_lag_is_the_age_of_what_waits(tmp_path: Path, disk: Disk) -> None:
    """A disk that has stopped is seen before it has failed."""
    async with opened(tmp_path) as audit:
        disk.open.clear()
        first = asyncio.ensure_future(audit.begin("tool"))
        await _turns()
        second = asyncio.ensure_future(audit.begin("tool"))
        await _turns()

        assert audit.lag_seconds() > 0

        disk.open.set()
        await first
        await second
        assert 0 == audit.lag_seconds()


def test_content_is_told_apart_by_its_key_only() -> None:
    """With a plain hash, anybody with the log could try what was asked."""
    one, other = content_mac(b"\x01" * 32), content_mac(b"\x02" * 32)

    assert one(b"hello") == content_mac(b"\x01" * 32)(b"hello")
    assert 3 == len({one(b"hello"), one(b"hello "), other(b"hello")})
