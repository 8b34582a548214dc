"""The way out: CONNECT to listed hosts, at addresses looked up once, with a TLS name that must agree.

Each client has a port of its own, so a connection is judged by that client's list alone, and each by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bulkhead_sandbox.egress.client_hello import NotTls, client_hello
from bulkhead_sandbox.egress.request import ESTABLISHED, MAX_HEAD_BYTES, BadRequest, parse_head, refusal
from bulkhead_sandbox.egress.target import Address, BadTarget, Target, host_name, parse_target
from bulkhead_sandbox.egress.tunnel import Connection, join
from bulkhead_sandbox.problems import Slug

if TYPE_CHECKING:
    from bulkhead_sandbox.egress.rules import DeniedRanges, Rules

__all__ = ["Limits", "Proxy", "Reason", "Resolver", "look_up"]

Resolver = Callable[[str], Awaitable[tuple[Address, ...]]]

# TLS record: alert, fatal, access_denied (49). The client then shows a refusal, not a broken connection.
_TLS_DENIED: Final = bytes((21, 3, 3, 0, 2, 2, 49))


class Reason(StrEnum):
    """How a request to get out was judged."""

    ALLOWED = "allowed"
    MALFORMED = "malformed"
    NOT_CONNECT = "not-connect"
    BAD_TARGET = "bad-target"
    NOT_LISTED = "not-listed"
    DENIED_RANGE = "denied-range"
    TOO_MANY = "too-many"
    UNRESOLVED = "unresolved"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    NOT_TLS = "not-tls"
    NAME_MISSING = "name-missing"
    NAME_DIFFERS = "name-differs"
    NAME_HIDDEN = "name-hidden"
    GONE = "gone"  # the client left before it had said anything


_SLUGS: Final = {
    Reason.MALFORMED: Slug.MALFORMED,
    Reason.NOT_CONNECT: Slug.METHOD_NOT_ALLOWED,
    Reason.BAD_TARGET: Slug.EGRESS_DENIED,
    Reason.NOT_LISTED: Slug.EGRESS_DENIED,
    Reason.DENIED_RANGE: Slug.EGRESS_DENIED,
    Reason.TOO_MANY: Slug.TOO_MANY_CONCURRENT,
    Reason.UNRESOLVED: Slug.UPSTREAM_ERROR,
    Reason.UNREACHABLE: Slug.UPSTREAM_ERROR,
    Reason.TIMEOUT: Slug.UPSTREAM_TIMEOUT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may use."""

    tunnels: int = 64
    connections: int = 256  # more than tunnels, so that one too many is told so
    head_seconds: float = 10.0  # for the request's head, and again for the TLS hello
    connect_seconds: float = 10.0  # for look-up and connection together
    idle_seconds: float = 300.0


class _Denied(Exception):
    """The request goes no further."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


async def look_up(host: str) -> tuple[Address, ...]:
    """Every address of a name. The final dot keeps the resolver's search list, and so cluster names, out."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(f"{host}.", None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return tuple(dict.fromkeys(ipaddress.ip_address(address[4][0]) for address in found))


class Proxy:
    """One client's way out."""

    def __init__(
        self,
        rules: Rules,
        denied: DeniedRanges,
        *,
        resolver: Resolver,
        limits: Limits,
        judged: Callable[[Reason, Target | None], None],
    ) -> None:
        self._rules = rules
        self._denied = denied
        self._resolver = resolver
        self._limits = limits
        self._judged = judged
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Judge a new connection and carry it to its end, in a task of its own."""
        task = asyncio.get_running_loop().create_task(self._serve(Connection(reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, seconds: float) -> None:
        """Let tunnels end by themselves for so long, then cut them."""
        if not self._tasks:
            return
        _, left = await asyncio.wait(self._tasks, timeout=seconds)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _serve(self, client: Connection) -> None:
        """Nothing that a peer does raises."""
        try:
            if len(self._tasks) <= self._limits.connections:
                with contextlib.suppress(ConnectionError, TimeoutError):
                    await self._judge_and_join(client)
        finally:
            await client.close()

    async def _judge_and_join(self, client: Connection) -> None:
        target: Target | None = None
        server: Connection | None = None
        try:
            target = await self._target(client)
            server = await self._connect(await self._addresses(target), target.port)
            client.writer.write(ESTABLISHED)
            server.writer.write(await self._opening(client, target))
            self._judged(Reason.ALLOWED, target)
            await join(client, server, idle_seconds=self._limits.idle_seconds)
        except _Denied as denied:
            self._judged(denied.reason, target)
            await _refuse(client, denied.reason, established=server is not None)
        finally:
            if server is not None:
                await server.close()

    async def _target(self, client: Connection) -> Target:
        """What a CONNECT asks for, if there is room for it and a rule names it."""
        try:
            async with asyncio.timeout(self._limits.head_seconds):
                head = await client.reader.readuntil(b"\r\n\r\n")
            request = parse_head(head)
        except asyncio.IncompleteReadError as error:
            raise _Denied(Reason.MALFORMED if error.partial else Reason.GONE) from error
        except (asyncio.LimitOverrunError, BadRequest) as error:
            raise _Denied(Reason.MALFORMED) from error
        except TimeoutError as error:
            raise _Denied(Reason.GONE) from error
        if len(head) > MAX_HEAD_BYTES:
            raise _Denied(Reason.MALFORMED)
        if request.method != "CONNECT":
            raise _Denied(Reason.NOT_CONNECT)
        if len(self._tasks) > self._limits.tunnels:
            raise _Denied(Reason.TOO_MANY)
        try:
            target = parse_target(request.target)
        except BadTarget as error:
            raise _Denied(Reason.BAD_TARGET) from error
        if not self._rules.admit(target):
            raise _Denied(Reason.NOT_LISTED)
        return target

    async def _addresses(self, target: Target) -> tuple[Address, ...]:
        """Where the target is, asked once; denied as a whole if any of it is where nobody goes."""
        if not isinstance(target.host, str):
            found: tuple[Address, ...] = (target.host,)
        else:
            try:
                async with asyncio.timeout(self._limits.connect_seconds):
                    found = await self._resolver(target.host)
            except OSError as error:  # TimeoutError is one
                raise _Denied(Reason.UNRESOLVED) from error
        if not found:
            raise _Denied(Reason.UNRESOLVED)
        if any(self._denied.cover(address) for address in found):
            raise _Denied(Reason.DENIED_RANGE)
        return found

    async def _connect(self, addresses: tuple[Address, ...], port: int) -> Connection:
        """A connection to the first of these very addresses that answers: a second look-up could lie."""
        try:
            async with asyncio.timeout(self._limits.connect_seconds):
                for address in addresses:
                    with contextlib.suppress(ConnectionError, OSError):
                        return Connection(*await asyncio.open_connection(str(address), port))
        except TimeoutError as error:
            raise _Denied(Reason.TIMEOUT) from error
        raise _Denied(Reason.UNREACHABLE)

    async def _opening(self, client: Connection, target: Target) -> bytes:
        """The client's first bytes: for a named host a TLS hello for that very name, else anything."""
        if not isinstance(target.host, str):
            return b""
        data = b""
        try:
            async with asyncio.timeout(self._limits.head_seconds):
                while (hello := client_hello(data)) is None:
                    chunk = await client.reader.read(4096)
                    if not chunk:
                        raise _Denied(Reason.NOT_TLS if data else Reason.GONE)
                    data += chunk
        except NotTls as error:
            raise _Denied(Reason.NOT_TLS) from error
        except TimeoutError as error:
            raise _Denied(Reason.GONE) from error
        if hello.encrypted:
            raise _Denied(Reason.NAME_HIDDEN)
        if hello.server_name is None:
            raise _Denied(Reason.NAME_MISSING)
        if not _same_name(hello.server_name, target.host):
            raise _Denied(Reason.NAME_DIFFERS)
        return data


def _same_name(shown: str, host: str) -> bool:
    try:
        return host_name(shown) == host
    except BadTarget:
        return False


async def _refuse(client: Connection, reason: Reason, *, established: bool) -> None:
    """Say no in the protocol that the client is in."""
    if established:
        client.writer.write(_TLS_DENIED)
    elif reason in _SLUGS:
        client.writer.write(refusal(_SLUGS[reason], str(uuid.uuid4())))
    await client.writer.drain()
