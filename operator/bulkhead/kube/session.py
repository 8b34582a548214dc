"""One way to open an authenticated HTTP session to the API server, for our client and for kopf's watches."""

from __future__ import annotations

import asyncio
from typing import Final

import aiohttp

from bulkhead.kube.auth import Credentials, ssl_context

__all__ = ["BearerAuth", "open_session"]

_TOKEN_SECONDS: Final = 60.0  # as client-go: projected tokens rotate in place
_UNAUTHORIZED: Final = 401


class BearerAuth:
    """Client middleware: adds the token, reads its file again every minute and once more on 401."""

    def __init__(self, credentials: Credentials) -> None:
        self._file = credentials.token_file
        self._token = credentials.token or ""
        self._read_at = float("-inf")

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send with the token; a rotated token is tried before a 401 is believed."""
        now = asyncio.get_running_loop().time()
        if now - self._read_at >= _TOKEN_SECONDS:
            self._reload(now)
        request.headers["Authorization"] = f"Bearer {self._token}"
        response = await handler(request)
        if response.status == _UNAUTHORIZED and self._reload(now):
            response.release()
            request.headers["Authorization"] = f"Bearer {self._token}"
            response = await handler(request)
        return response

    def _reload(self, now: float) -> bool:
        """Read the file, if there is one; True if the token changed."""
        self._read_at = now
        if self._file is None:
            return False
        before, self._token = self._token, self._file.read_text().strip()
        return self._token != before


def open_session(
    credentials: Credentials,
    *,
    connections: int,
    user_agent: str,
    trace_configs: tuple[aiohttp.TraceConfig, ...] = (),
) -> aiohttp.ClientSession:
    """A session with base URL, TLS and authentication; the caller closes it. 0 connections: no limit."""
    authenticated = credentials.token is not None or credentials.token_file is not None
    return aiohttp.ClientSession(
        base_url=credentials.server,
        connector=aiohttp.TCPConnector(limit=connections, ssl=ssl_context(credentials), keepalive_timeout=60),
        headers={"User-Agent": user_agent},
        middlewares=(BearerAuth(credentials),) if authenticated else (),
        trace_configs=list(trace_configs),
    )
