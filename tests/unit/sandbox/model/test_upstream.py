"""The way to the model's server: tried again only where that is safe, bounded in time, its key kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead_sandbox.config import ModelConfig
from bulkhead_sandbox.gateway.model import Timeouts, Upstream, model_session
from bulkhead_sandbox.gateway.model.upstream import NotSent
from bulkhead_sandbox.logs import Log
from bulkhead_sandbox.problems import Problem, Slug
from model_standin import NAME, serving

if TYPE_CHECKING:
    from pathlib import Path

HOST = "127.0.0.1"
BODY = b'{"model": "%b", "messages": [{"role": "user", "content": "one two three four"}], "stream": %b}'


def upstream(port: int, session: Any, key_file: Path | None = None, **times: Any) -> Upstream:
    config = ModelConfig(
        name="default",
        url=f"http://{HOST}:{port}/v1/",
        upstream_name=NAME,
        context_tokens=8192,
        max_output_tokens=1024,
        embeddings=False,
        cache_salt=True,
        key_file=None if key_file is None else str(key_file),
    )
    seconds = iter(range(10**6))
    timeouts = Timeouts(**{"pauses": (0, 0), **times})
    return Upstream(
        config, session, timeouts=timeouts, clock=lambda: next(seconds), log=Log(bytes, lambda: 0)
    )


async def read(way: Upstream, behaviour: str = "", *, streams: bool = False) -> bytes:
    body = BODY % ((NAME + behaviour).encode(), str(streams).lower().encode())
    async with way.post("/chat/completions", body, request_id="r1", streams=streams) as response:
        return await response.read()


@pytest.mark.parametrize(
    ("behaviour", "streams", "times"),
    [
        (":mute", False, {"total": 0.05}),
        (":mute", True, {"silence": 0.05}),
        (":stall", True, {"silence": 0.05}),
        (":stall", True, {"total": 0.05}),
        (":stall", False, {"total": 0.05}),
        (":slow", True, {"total": 0.08}),
    ],
)
async def test_a_server_that_takes_too_long_is_left(
    behaviour: str, times: dict[str, float], *, streams: bool
) -> None:
    """Each call that waits forever is a place that nobody else gets."""
    left = asyncio.Event()
    async with serving(HOST, 0, left=left.set) as port, model_session() as session:
        with pytest.raises(Problem) as caught:
            await read(upstream(port, session, **times), behaviour, streams=streams)
        await asyncio.wait_for(left.wait(), 10)
    assert Slug.UPSTREAM_TIMEOUT is caught.value.slug


async def test_a_server_that_does_not_listen_is_tried_three_times() -> None:
    """A pod that is replaced is away for a moment, and nothing was sent."""
    tries = []

    async with model_session() as session:
        plain = session.post

        async def post(url: str, **options: Any) -> Any:
            tries.append(url)
            return await plain(url, **options)

        session.post = post  # type: ignore[method-assign, assignment]
        with pytest.raises(NotSent):
            await read(upstream(9, session))
    assert 3 == len(tries)


async def test_a_request_that_was_sent_is_never_sent_again() -> None:
    """The model may have answered, and been paid; a second time is a second answer."""
    asked: list[Any] = []
    async with serving(HOST, 0, asked=asked.append) as port, model_session() as session:
        for behaviour in (":error", ":break", ":busy"):
            with pytest.raises(Problem) as caught:
                await read(upstream(port, session), behaviour)
            assert not isinstance(caught.value, NotSent)
    assert 3 == len(asked)


async def test_connections_are_kept_for_the_next_call() -> None:
    """A handshake a call would cost more than all the rest."""
    asked: list[Any] = []
    async with serving(HOST, 0, asked=asked.append) as port, model_session() as session:
        way = upstream(port, session)
        for streams in (False, True, False, True):
            await read(way, streams=streams)
    assert (4, 1) == (len(asked), len({one.client_port for one in asked}))


async def test_a_key_that_changes_is_used_from_then_on_and_one_that_is_gone_stops_calls(
    tmp_path: Path,
) -> None:
    """Keys are exchanged without a restart; without one a server may answer for anybody."""
    asked: list[Any] = []
    key_file = tmp_path / "value"
    async with serving(HOST, 0, asked=asked.append) as port, model_session() as session:
        way = upstream(port, session, key_file)
        for key in ("first\n", "second"):
            key_file.unlink(missing_ok=True)
            key_file.write_text(key)
            await read(way)
        for broken in ("", "two\nlines", "ünprintable"):
            key_file.write_text(broken)
            with pytest.raises(NotSent):
                await read(way)
        key_file.unlink()
        with pytest.raises(NotSent):
            await read(way)
    assert ["Bearer first", "Bearer second"] == [one.headers["authorization"] for one in asked]


async def test_a_redirect_is_not_followed() -> None:
    """It would lead the key and the prompt to whoever the server names."""

    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 307 X\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(redirect, HOST, 0)
    async with server, model_session() as session:
        with pytest.raises(Problem) as caught:
            await read(upstream(server.sockets[0].getsockname()[1], session))
    assert Slug.UPSTREAM_ERROR is caught.value.slug


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\nContent-Encoding: br\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
        b"",
    ],
)
async def test_an_answer_that_is_none_is_an_upstream_error(head: bytes) -> None:
    """Whatever answers on that port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        writer.close()

    server = await asyncio.start_server(answer, HOST, 0)
    async with server, model_session() as session:
        with pytest.raises(Problem) as caught:
            await read(upstream(server.sockets[0].getsockname()[1], session))
    assert Slug.UPSTREAM_ERROR is caught.value.slug
