"""HTTP/1.1 for the stand-in on asyncio streams: little more than a client needs, and fast enough to bench."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model_standin.answers import Reply, StandIn

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

__all__ = ["Asked", "serving"]

MAX_BODY_BYTES = 16 << 20
_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True)
class Asked:
    """A request as it came; names of `headers` in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    client_port: int  # the same for all requests of one connection


@asynccontextmanager
async def serving(
    host: str,
    port: int,
    stand_in: StandIn | None = None,
    *,
    asked: Callable[[Asked], object] = lambda _: None,
    left: Callable[[], object] = lambda: None,
) -> AsyncIterator[int]:
    """Serve and give the port; `asked` is told of each request, `left` of each client that went too early."""
    model = stand_in or StandIn()
    connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - for the type checker
        connections[task] = writer
        port = writer.get_extra_info("peername")[1]
        try:
            while (request := await _read(reader, port)) is not None:
                asked(request)
                reply = model.respond(request.method, request.path, request.headers, request.body)
                if not await _write(reader, writer, reply):
                    model.counts["clients_that_left"] += 1
                    left()
                    break
                if reply.end != "done":
                    break
        except (ConnectionError, asyncio.IncompleteReadError, ValueError):
            pass
        finally:
            del connections[task]
            writer.close()

    server = await asyncio.start_server(connected, host, port, limit=1 << 16)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in connections.values():
            writer.transport.abort()
        await asyncio.gather(*connections)


async def _read(reader: asyncio.StreamReader, client_port: int) -> Asked | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:  # the client has no more to ask
        return None
    first, *lines = head.split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    size = int(headers.get("content-length", "0"))
    if size > MAX_BODY_BYTES:
        raise ValueError("the body is too large")
    return Asked(method, path, headers, await reader.readexactly(size), client_port)


async def _write(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Send the reply; False if the client left before its end."""
    try:
        return await _write_all(reader, writer, reply)
    except ConnectionError:  # what it had not read yet makes its leaving a reset
        return False


async def _write_all(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reply: Reply) -> bool:
    if reply.end == "mute":
        return await _until_left(reader)
    pieces = reply.pieces
    size = sum(map(len, pieces))
    if reply.end != "done" and len(pieces) == 1:
        pieces = [pieces[0][: len(pieces[0]) // 2]]
    elif reply.end != "done":
        pieces = pieces[: len(pieces) // 2]
    writer.write(_head(reply, size))
    for piece in pieces:
        if reply.pause_seconds:
            await asyncio.sleep(reply.pause_seconds)
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if reply.streams else piece)
        await writer.drain()
        if reader.at_eof() or writer.is_closing():
            return False
    if reply.end == "stall":
        return await _until_left(reader)
    if reply.end == "break":
        writer.transport.abort()
    elif reply.streams:
        writer.write(b"0\r\n\r\n")
    return True


async def _until_left(reader: asyncio.StreamReader) -> bool:
    await reader.read(1)
    return False


def _head(reply: Reply, size: int) -> bytes:
    length = "Transfer-Encoding: chunked" if reply.streams else f"Content-Length: {size}"
    lines = [
        f"HTTP/1.1 {reply.status} {_REASONS.get(reply.status, 'Error')}",
        f"Content-Type: {reply.content_type}",
        length,
        *(f"{name}: {value}" for name, value in reply.headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()
