"""The canary: a listener that lets everybody in, so that not reaching it says something about the caller."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Final

from prometheus_client import CollectorRegistry, Counter

from bulkhead_sandbox.health import health_app
from bulkhead_sandbox.serve import listening, stop_signal
from bulkhead_sandbox.shape import Bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkhead_sandbox.logs import Log

__all__ = ["BANNER", "PORT", "Canary", "run"]

BANNER: Final = b"bulkhead-canary\n"
PORT: Final = 8090
HEALTH_PORT: Final = 8081
MAX_CONNECTIONS: Final = 256
_GOODBYE_SECONDS: Final = 1.0


class Canary:
    """Says its name and hangs up; reads nothing."""

    def __init__(
        self, registry: CollectorRegistry, most: Annotated[int, Bounds(1, 65535)] = MAX_CONNECTIONS
    ) -> None:
        self._open = 0
        self._most = most
        self._calls = Counter("bulkhead_canary_connections", "Connections accepted.", registry=registry)

    async def accept(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; beyond the bound it is closed without a word, which is still an answer."""
        self._calls.inc()
        if self._open >= self._most:
            writer.transport.abort()
            return
        self._open += 1
        try:
            writer.write(BANNER)
            with suppress(OSError, TimeoutError):
                writer.close()
                await asyncio.wait_for(writer.wait_closed(), _GOODBYE_SECONDS)
        finally:
            writer.transport.abort()
            self._open -= 1


async def run(_environment: Mapping[str, str], log: Log) -> int:
    """Listen until SIGTERM."""
    registry = CollectorRegistry()
    stop = stop_signal()
    server = await asyncio.start_server(Canary(registry).accept, None, PORT)
    health = health_app({"draining": lambda: not stop.is_set()}, registry)
    async with listening((health, HEALTH_PORT), drain_seconds=0):
        log.info("canary.started")
        await stop.wait()
        server.close()
    log.info("canary.stopped")
    return 0
