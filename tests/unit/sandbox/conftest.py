"""A gateway and a tool-runner as they run in pods, in this process and on loopback."""

from __future__ import annotations

import itertools
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from prometheus_client import CollectorRegistry
from support.gateway_config import WORKSPACE_UID, gateway_config
from support.trail import MemoryTrail

from bulkhead_sandbox.config import ToolConfig
from bulkhead_sandbox.gateway.assembly import Outside, assembled
from bulkhead_sandbox.logs import Log
from bulkhead_sandbox.serve import listening
from bulkhead_sandbox.tool_runner import calls_counter
from bulkhead_sandbox.tool_runner.child import Commands
from bulkhead_sandbox.tool_runner.functions import FUNCTIONS
from bulkhead_sandbox.tool_runner.server import McpServer
from bulkhead_wire.gateway_keys import derive
from bulkhead_wire.keys import SigningKey, jwks_json
from bulkhead_wire.operator_token import sign_operator_token
from bulkhead_wire.token import new_claims, sign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

    from bulkhead_sandbox.gateway.metrics import Metrics

HOST = "127.0.0.1"
NOW = 1_800_000_000.0
UID = WORKSPACE_UID
KEY = SigningKey.from_seed(b"\x01" * 32)
KEYS = derive(b"\x02" * 32, UID)


class FakeClock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = NOW
        self.draining = False

    def __call__(self) -> float:
        return self.now


@dataclass
class Answer:
    """An HTTP answer, read whole."""

    status: int
    headers: Mapping[str, str]  # in any case
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def slug(self) -> str:
        return str(self.json["type"]).removeprefix("urn:bulkhead:problem:")


@dataclass
class World:
    """One workspace's gateway, and what its tests look at."""

    url: str
    operator_url: str
    clock: FakeClock
    jwks_file: Path
    epoch_file: Path
    metrics: Metrics
    audit: MemoryTrail
    routes: set[tuple[str, str]]
    http: aiohttp.ClientSession
    lines: list[dict[str, Any]] = field(default_factory=list)
    token_ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def token(self, *scopes: str, key: SigningKey = KEY, **changes: Any) -> str:
        """A token for alice's session, in force now."""
        claims: dict[str, Any] = {
            "workspace_uid": UID,
            "tenant_id": "acme",
            "subject": "alice",
            "scopes": scopes,
            "epoch": 0,
            "now": self.clock(),
            "ttl_seconds": 300,
            "session_id": bytes(16),
            "token_id": next(self.token_ids).to_bytes(16, "big"),
        }
        return sign(new_claims(**{**claims, **changes}), key)

    async def ask_operator_port(
        self, method: str, path: str, token: str | None = None, **options: Any
    ) -> Answer:
        """The same on the operator's port, with a good token unless another is given."""
        token = token or sign_operator_token(UID, KEY, now=self.clock())
        headers = {"Authorization": f"Bearer {token}"}
        async with self.http.request(
            method, self.operator_url + path, headers=headers, **options
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    def counted(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 if it was never counted."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    async def ask(self, method: str, path: str, token: str | None = None, **options: Any) -> Answer:
        """One request to the gateway."""
        headers = options.pop("headers", {})
        if token is not None:
            headers = {"Authorization": f"Bearer {token}", **headers}
        async with self.http.request(method, self.url + path, headers=headers, **options) as response:
            return Answer(response.status, response.headers, await response.read())

    async def call(self, tool: str, function: str, token: str | None = None, **arguments: Any) -> Answer:
        """POST /v1/tools/{tool}, with a token that may do just that unless another is given."""
        token = token or self.token(f"tools:call:{tool}")
        body = {"tool": function, "arguments": arguments}
        return await self.ask("POST", f"/v1/tools/{tool}", token, json=body)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def tool_runner(tmp_path: Path) -> AsyncIterator[str]:
    """The URL of a real tool-runner."""
    server = McpServer(
        FUNCTIONS,
        tmp_path / "work",
        commands=Commands(sweeps=False),
        calls=calls_counter(CollectorRegistry()),
        log=Log(bytes, lambda: NOW),
    )
    async with listening((server.app("/mcp"), 0), host=HOST, drain_seconds=0) as (port,):
        yield f"http://{HOST}:{port}/mcp"


@asynccontextmanager
async def gateway_for(folder: Path, clock: FakeClock, **changes: Any) -> AsyncIterator[World]:
    """A gateway with everything on; `changes` are members of its config."""
    config = gateway_config(folder, **changes)
    (jwks_file := folder / "jwks.json").write_text(jwks_json([KEY]))
    (epoch_file := folder / "epoch").write_text("0")
    lines: list[dict[str, Any]] = []
    log = Log(lambda line: lines.append(orjson.loads(line)), clock)
    audit = MemoryTrail()
    counter = itertools.count(2**64)  # unlike the ids of `token`
    outside = Outside(
        wall=clock,
        monotonic=clock,
        random_bytes=lambda size: next(counter).to_bytes(size, "big"),
        log=log,
        draining=lambda: clock.draining,
    )
    async with (
        assembled(config, KEYS, audit, outside) as gateway,
        listening((gateway.surface, 0), (gateway.operator_surface, 0), host=HOST, drain_seconds=0) as (
            port,
            operator_port,
        ),
        aiohttp.ClientSession() as http,
    ):
        yield World(
            url=f"http://{HOST}:{port}",
            operator_url=f"http://{HOST}:{operator_port}",
            clock=clock,
            jwks_file=jwks_file,
            epoch_file=epoch_file,
            metrics=gateway.metrics,
            audit=audit,
            routes={
                (route.method, route.resource.canonical)
                for route in gateway.surface.router.routes()
                if route.resource is not None
            },
            http=http,
            lines=lines,
        )


@pytest.fixture
async def world(tool_runner: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[World]:
    """A gateway with a tool of all functions and one of two, both the same real tool-runner."""
    tools = (
        ToolConfig(name="shell", url=tool_runner, allow=()),
        ToolConfig(name="files", url=tool_runner, allow=("file_read", "file_write")),
    )
    async with gateway_for(tmp_path, clock, tools=tools) as made:
        yield made
