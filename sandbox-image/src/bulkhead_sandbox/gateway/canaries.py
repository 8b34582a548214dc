"""Which canaries are alive, as the gateway itself finds: what guards in untrusted pods need to know.

Asked on demand and shared by everybody who asks within a second: at rest nothing is sent.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from aiohttp import web

from bulkhead_sandbox.canary import BANNER

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bulkhead_sandbox.clock import Clock

__all__ = ["Canaries", "answers", "guard_app", "look_up"]

Address = tuple[str, int]

FRESH_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 1.0
MAX_CANARIES: Final = 16


async def look_up(host: str, port: int) -> tuple[Address, ...]:
    """Every address of a headless Service; none if the name does not resolve."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # UnicodeError: no host name at all
        return ()
    return tuple(sorted({(str(sockaddr[0]), port) for *_, sockaddr in found}))[:MAX_CANARIES]


async def answers(address: Address) -> bool:
    """Whether a canary says its name there within a second."""
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(*address)
            try:
                return await reader.readexactly(len(BANNER)) == BANNER
            finally:
                writer.transport.abort()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False


class Canaries:
    """The canaries behind one name."""

    def __init__(
        self,
        name: str,
        clock: Clock,
        *,
        resolve: Callable[[str, int], Awaitable[tuple[Address, ...]]] = look_up,
        probe: Callable[[Address], Awaitable[bool]] = answers,
    ) -> None:
        """`name`: host:port; `clock`: seconds that never go back."""
        host, _, port = name.rpartition(":")
        self._host, self._port = host, int(port)
        self._clock = clock
        self._resolve = resolve
        self._probe = probe
        self._asking: asyncio.Task[tuple[Address, ...]] | None = None
        self._asked_at = float("-inf")

    async def alive(self) -> tuple[Address, ...]:
        """Those that answered a question begun at most a second ago."""
        if self._asking is None or self._clock() - self._asked_at > FRESH_SECONDS:
            self._asked_at = self._clock()
            self._asking = asyncio.create_task(self._ask())
        # Shielded: one caller that goes away must not take the answer from the others.
        return await asyncio.shield(self._asking)

    async def _ask(self) -> tuple[Address, ...]:
        found = await self._resolve(self._host, self._port)
        alive = await asyncio.gather(*map(self._probe, found))
        return tuple(address for address, lives in zip(found, alive, strict=True) if lives)


def guard_app(canaries: Canaries) -> web.Application:
    """For guards in untrusted pods: one question, no argument, nothing about anybody."""

    async def get(_request: web.Request) -> web.Response:
        alive = await canaries.alive()
        listed = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in alive]
        return web.json_response({"canaries": listed}, status=200 if listed else 503)

    app = web.Application(client_max_size=1)
    app.router.add_get("/v1/canaries", get, allow_head=False)
    return app
