"""Two connections joined: bytes go both ways until both sides have ended or nothing moved for too long."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Connection", "join"]

_CHUNK_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Connection:
    """One TCP connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def close(self) -> None:
        """Closed, without waiting for a peer that does not read."""
        self.writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self.writer.wait_closed()


async def join(client: Connection, server: Connection, *, idle_seconds: float) -> None:
    """Carry bytes until both directions have ended; TimeoutError after `idle_seconds` of silence in both."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(idle_seconds) as deadline:

        def moved() -> None:
            deadline.reschedule(loop.time() + idle_seconds)

        async with asyncio.TaskGroup() as both:
            both.create_task(_carry(client.reader, server.writer, moved))
            both.create_task(_carry(server.reader, client.writer, moved))


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, moved: Callable[[], None]
) -> None:
    """One direction; its end is passed on, and the other direction may go on."""
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(_CHUNK_BYTES):
            moved()
            writer.write(chunk)
            await writer.drain()
            moved()
    with contextlib.suppress(OSError, RuntimeError):  # the other side has gone already
        if writer.can_write_eof():
            writer.write_eof()
