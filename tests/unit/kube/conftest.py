"""A real HTTP server in this process that answers what a test scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bulkhead.kube.auth import Credentials
from bulkhead.kube.client import KubeClient
from bulkhead.kube.retry import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True)
class Seen:
    """One request as the server got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class ScriptedServer:
    """Answers with the scripted replies in turn, then with 200 {}; remembers every request."""

    url: str = ""
    replies: list[tuple[int, dict[str, Any], dict[str, str]]] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def reply(self, status: int = 200, body: dict[str, Any] | None = None, **headers: str) -> None:
        """Queue one answer; header names are written with _ for -."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.replies.append((status, body or {}, named))

    async def handle(self, request: web.Request) -> web.Response:
        """The only route."""
        raw = await request.read()
        self.seen.append(
            Seen(
                request.method,
                request.path,
                dict(request.query),
                dict(request.headers),
                orjson.loads(raw) if raw else None,
            )
        )
        status, body, headers = self.replies.pop(0) if self.replies else (200, {}, {})
        return web.Response(
            status=status, body=orjson.dumps(body), headers=headers, content_type="application/json"
        )


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    """The scripted server on a loopback port."""
    scripted = ScriptedServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", scripted.handle)
    async with TestServer(app) as running:
        scripted.url = str(running.make_url("")).rstrip("/")
        yield scripted


@pytest.fixture
async def client(server: ScriptedServer) -> AsyncIterator[KubeClient]:
    """A client of the scripted server whose pauses are too short to notice."""
    retry = RetryPolicy(attempts=3, base_seconds=0.001, max_seconds=0.001)
    async with KubeClient(Credentials(server=server.url), random=lambda: 1.0, retry=retry) as opened:
        yield opened
