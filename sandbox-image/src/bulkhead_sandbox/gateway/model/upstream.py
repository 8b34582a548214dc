"""The one way to a model server: our headers only, its key unseen, all within bounds of size and time."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from bulkhead_sandbox.gateway.model.answers import Garbage
from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.config import ModelConfig
    from bulkhead_sandbox.logs import Log

__all__ = ["MAX_ANSWER_BYTES", "Timeouts", "Upstream", "model_session", "read_bounded"]

MAX_ANSWER_BYTES: Final = 8 * 1024 * 1024
_MAX_ERROR_BYTES: Final = 64 * 1024
_KEY_CHECK_SECONDS: Final = 1.0
# Model servers close idle connections after 5 s (uvicorn): we do before, so that no request meets one.
_KEEP_SECONDS: Final = 3.0
_CONTEXT_SIGNS: Final = (b"context_length_exceeded", b"maximum context length", b"context length")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds. `silence`: between two pieces of an answer, and before the first of a stream."""

    connect: float = 5.0
    silence: float = 60.0
    total: float = 300.0
    pauses: tuple[float, ...] = (0.1, 0.3)  # before each further try to connect


def model_session(*, most_connections: int = 256) -> aiohttp.ClientSession:
    """An HTTP client without memory: no cookies, no proxy from the environment, nothing decompressed."""
    return aiohttp.ClientSession(
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=most_connections, keepalive_timeout=_KEEP_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        read_bufsize=1 << 16,
    )


class Upstream:
    """One model server."""

    def __init__(
        self,
        model: ModelConfig,
        session: aiohttp.ClientSession,
        *,
        timeouts: Timeouts,
        clock: Clock,
        log: Log,
    ) -> None:
        """`clock`: seconds that never go back."""
        self._base = model.url.rstrip("/")
        self._session = session
        self._timeouts = timeouts
        self._log = log
        self._key = None if model.key_file is None else _KeyFile(model.key_file, clock)

    @asynccontextmanager
    async def post(
        self, path: str, body: bytes, *, request_id: str, streams: bool
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The server's good answer, its body yet to be read; leaving the block cancels what is still coming.

        Problem otherwise. NotSent while nothing of the request had left, so that it costs the caller nothing.
        """
        try:
            async with asyncio.timeout(self._timeouts.total):
                response = await self._connected(path, body, request_id=request_id, streams=streams)
                try:
                    await self._check(response, streams=streams)
                    yield response
                finally:
                    response.close() if not response.content.at_eof() else response.release()
        except TimeoutError as error:
            raise Problem(Slug.UPSTREAM_TIMEOUT) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self.failed(type(error).__name__) from error
        except Garbage as garbage:
            raise self.failed(str(garbage)) from garbage

    def failed(self, reason: str) -> Problem:
        """What the caller is told, once our log has the reason; the server's own words go nowhere."""
        self._log.warning("model.failed", reason=reason)
        return Problem(Slug.UPSTREAM_ERROR)

    async def _connected(
        self, path: str, body: bytes, *, request_id: str, streams: bool
    ) -> aiohttp.ClientResponse:
        headers = self._headers(request_id, streams=streams)
        times = self._timeouts
        timeout = aiohttp.ClientTimeout(
            sock_connect=times.connect, sock_read=times.silence if streams else times.total
        )
        for pause in (*times.pauses, None):
            try:
                return await self._session.post(
                    self._base + path, data=body, headers=headers, timeout=timeout, allow_redirects=False
                )
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                # Nothing was sent: only then is it safe to try again.
                if pause is None:
                    self._log.warning("model.unreachable", reason=type(error).__name__)
                    raise NotSent from error
            await asyncio.sleep(pause)
        raise AssertionError("unreachable")  # pragma: no cover

    def _headers(self, request_id: str, *, streams: bool) -> dict[str, str]:
        """All that the server hears besides the body: nothing that the caller sent."""
        headers = {
            "Content-Type": "application/json",
            "Accept": "text/event-stream" if streams else "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "bulkhead-gateway",
            "X-Request-Id": request_id,
        }
        if self._key is not None:
            key = self._key.current()
            if key is None:
                self._log.error("model.key_unreadable")
                raise NotSent
            headers["Authorization"] = f"Bearer {key}"
        return headers

    async def _check(self, response: aiohttp.ClientResponse, *, streams: bool) -> None:
        if response.status != 200:
            if response.status in {400, 413, 422}:
                said = await read_bounded(response, _MAX_ERROR_BYTES)
                if any(sign in said.lower() for sign in _CONTEXT_SIGNS):
                    raise Problem(
                        Slug.CONTEXT_TOO_LARGE, detail="The model's server counts more than it takes."
                    )
            raise self.failed(f"http-{response.status}")
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise self.failed("content-encoding")
        if response.content_type != ("text/event-stream" if streams else "application/json"):
            raise self.failed("content-type")


class NotSent(Problem):
    """The server cannot be reached, and nothing of the request has left."""

    def __init__(self) -> None:
        super().__init__(Slug.UPSTREAM_ERROR, detail="The model's server cannot be reached; try again.")


class _KeyFile:
    """The server's API key, read anew when the file changes."""

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = Path(path)
        self._clock = clock
        self._checked_at = float("-inf")
        self._stamp: tuple[int, int, int] | None = None
        self._value: str | None = None

    def current(self) -> str | None:
        """The key as of at most a second ago; None: it cannot be read, or is no header value."""
        now = self._clock()
        if now - self._checked_at >= _KEY_CHECK_SECONDS:
            self._checked_at = now
            self._refresh()
        return self._value

    def _refresh(self) -> None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - the plain call on a hot path
            stamp = found.st_ino, found.st_mtime_ns, found.st_size
            if stamp != self._stamp:
                value = self._path.read_text("ascii").strip()
                self._value = value if value and value.isprintable() else None
                self._stamp = stamp
        except (OSError, UnicodeError):
            self._stamp = self._value = None


async def read_bounded(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """The whole body; Garbage if it is larger."""
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > most_bytes:
            raise Garbage("answer-too-large")
        parts.append(part)
    return b"".join(parts)
