"""Start listeners, run until told to stop, then drain: the life of every role."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["DRAIN_SECONDS", "listening", "stop_signal"]

DRAIN_SECONDS: Final = 20.0  # within the pod's grace of 30 s


def stop_signal() -> asyncio.Event:
    """Set at SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


@asynccontextmanager
async def listening(
    *listeners: tuple[web.Application, int], host: str | None = None, drain_seconds: float = DRAIN_SECONDS
) -> AsyncIterator[tuple[int, ...]]:
    """Serve each app on its port and give the real ports; at the end, let requests under way finish.

    Listeners close in the reverse order: health, started last, stops claiming readiness first.
    """
    async with AsyncExitStack() as stack:
        ports = []
        for app, port in listeners:
            runner = web.AppRunner(
                app,
                access_log=None,
                handler_cancellation=True,  # a caller that goes away cancels what it asked for
                auto_decompress=False,  # a small body must not become a large one behind our limits
                shutdown_timeout=drain_seconds,
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, host, port).start()
            ports.append(runner.addresses[0][1])
        yield tuple(ports)
