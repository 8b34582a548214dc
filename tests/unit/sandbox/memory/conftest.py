"""Conversations on a disk of a test's own, with time that moves when told to."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from bulkhead_sandbox.gateway.memory import Conversations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEY = b"\x05" * 32
TTL = 3600


@dataclass
class Time:
    """A wall clock that anybody may set, and one that only goes on."""

    wall: float = 1_800_000_000.0
    monotonic: float = 500.0

    def passes(self, seconds: float) -> None:
        """Both go on."""
        self.wall += seconds
        self.monotonic += seconds


@dataclass
class Disk:
    """A folder that gateways come to and leave."""

    folder: Path
    time: Time = field(default_factory=Time)
    random: random.Random = field(default_factory=lambda: random.Random(7))  # noqa: S311 - a test's

    @asynccontextmanager
    async def gateway(self) -> AsyncIterator[Conversations]:
        """One process's view of the folder."""
        made = Conversations(
            self.folder,
            KEY,
            wall=lambda: self.time.wall,
            monotonic=lambda: self.time.monotonic,
            random_bytes=self.random.randbytes,
            session_ttl_seconds=TTL,
        )
        await made.open()
        try:
            yield made
        finally:
            await made.close()

    def raw(self) -> bytes:
        """Every byte of every file."""
        return b"".join(path.read_bytes() for path in sorted(self.folder.rglob("*")))

    def files(self) -> list[str]:
        """Of users."""
        return sorted(path.name for path in self.folder.glob("*.db*"))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path / "memory")


@pytest.fixture
async def memory(disk: Disk) -> AsyncIterator[Conversations]:
    async with disk.gateway() as made:
        yield made
