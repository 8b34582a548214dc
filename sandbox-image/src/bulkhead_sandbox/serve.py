"""Start listeners, run until told to stop, then drain: the life of every role."""

from __future__ import annotations

import asyncio
import signal
import uuid
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from bulkhead_sandbox.problems import CONTENT_TYPE, Problem, Slug

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from ssl import SSLContext

    from typing_extensions import override
else:

    def override(method: object) -> object:
        """For the type checker; Python 3.11 has none of its own, and the image no typing_extensions."""
        return method


__all__ = ["DRAIN_SECONDS", "listening", "stop_signal"]

DRAIN_SECONDS: Final = 20.0  # within the pod's grace of 30 s
# Also how long the headers of one request may take: longer than the 60 s after which most clients and proxies
# give up an idle connection, so that they, who know of it, close first.
IDLE_SECONDS: Final = 75.0
LINGER_SECONDS: Final = 3.0  # for the rest of a body that nobody wants, so that its sender reads the answer


def stop_signal() -> asyncio.Event:
    """Set at SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


class _Protocol(web.RequestHandler):
    """One connection; what cannot be read as HTTP is answered and logged without a byte of it."""

    @override
    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - as the base has it
        status: int = 500,
        exc: BaseException | None = None,  # noqa: ARG002
        message: str | None = None,  # noqa: ARG002
    ) -> web.StreamResponse:
        """A constant: what aiohttp answers quotes the request, and what it logs the token in it."""
        slug = Slug.MALFORMED if status < HTTPStatus.INTERNAL_SERVER_ERROR else Slug.INTERNAL
        response = web.Response(
            body=Problem(slug).body(str(uuid.uuid4())), status=slug.status, content_type=CONTENT_TYPE
        )
        response.force_close()
        return response


class _Server(web.Server):
    @override
    def __call__(self) -> web.RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    @override
    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,  # noqa: SLF001 - the one way to another protocol that keeps AppRunner's shutdown
        )


@asynccontextmanager
async def listening(
    *listeners: tuple[web.Application, int] | tuple[web.Application, int, SSLContext | None],
    host: str | None = None,
    drain_seconds: float = DRAIN_SECONDS,
) -> AsyncIterator[tuple[int, ...]]:
    """Serve each app on its port and give the real ports; at the end, let requests under way finish.

    Listeners close in the reverse order: health, started last, stops claiming readiness first.
    """
    async with AsyncExitStack() as stack:
        ports = []
        for app, port, *tls in listeners:
            runner = _Runner(
                app,
                access_log=None,
                handler_cancellation=True,  # a caller that goes away cancels what it asked for
                auto_decompress=False,  # a small body must not become a large one behind our limits
                keepalive_timeout=IDLE_SECONDS,
                lingering_time=LINGER_SECONDS,
                shutdown_timeout=drain_seconds,
            )
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, host, port, ssl_context=tls[0] if tls else None).start()
            ports.append(runner.addresses[0][1])
        yield tuple(ports)
