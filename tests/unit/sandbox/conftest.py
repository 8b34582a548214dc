"""A gateway and a tool-runner as they run in pods, in this process and on loopback."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import orjson
import pytest
from prometheus_client import CollectorRegistry
from support.gateway_config import WORKSPACE_UID, gateway_config

from bulkhead_sandbox.config import ToolConfig
from bulkhead_sandbox.gateway import upstream_session
from bulkhead_sandbox.gateway.activity import Activity
from bulkhead_sandbox.gateway.app import Gateway
from bulkhead_sandbox.gateway.auth import KeyRing, Sessions
from bulkhead_sandbox.gateway.mcp_client import McpClient
from bulkhead_sandbox.gateway.metrics import Metrics
from bulkhead_sandbox.gateway.tools import Tools
from bulkhead_sandbox.logs import Log
from bulkhead_sandbox.serve import listening
from bulkhead_sandbox.tool_runner import calls_counter
from bulkhead_sandbox.tool_runner.child import Commands
from bulkhead_sandbox.tool_runner.functions import FUNCTIONS
from bulkhead_sandbox.tool_runner.server import McpServer
from bulkhead_wire.keys import SigningKey, jwks_json
from bulkhead_wire.token import new_claims, sign

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

HOST = "127.0.0.1"
NOW = 1_800_000_000.0
UID = WORKSPACE_UID
KEY = SigningKey.from_seed(b"\x01" * 32)


class FakeClock:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = NOW

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
    metrics: Metrics
    http: aiohttp.ClientSession
    lines: list[dict[str, Any]] = field(default_factory=list)

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
            "token_id": bytes(16),
        }
        return sign(new_claims(**{**claims, **changes}), key)

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
async def gateway_for(
    tools: tuple[ToolConfig, ...], folder: Path, clock: FakeClock, *, epoch: int = 0
) -> AsyncIterator[World]:
    """A gateway in front of these tools."""
    jwks_file = folder / "jwks.json"
    jwks_file.write_text(jwks_json([KEY]))
    config = gateway_config(folder, session_epoch=epoch, tools=tools)
    lines: list[dict[str, Any]] = []
    log = Log(lambda line: lines.append(orjson.loads(line)), clock)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        gateway = Gateway(
            config,
            sessions=Sessions(config, KeyRing(config.jwks_file, clock, log), clock),
            tools=Tools(
                tools,
                McpClient(await stack.enter_async_context(upstream_session())),
                metrics=metrics,
                log=log,
            ),
            activity=Activity(clock),
            metrics=metrics,
            clock=clock,
            log=log,
        )
        port, operator_port = await stack.enter_async_context(
            listening((gateway.app(), 0), (gateway.operator_app(), 0), host=HOST, drain_seconds=0)
        )
        yield World(
            url=f"http://{HOST}:{port}",
            operator_url=f"http://{HOST}:{operator_port}",
            clock=clock,
            jwks_file=jwks_file,
            metrics=metrics,
            http=await stack.enter_async_context(aiohttp.ClientSession()),
            lines=lines,
        )


@pytest.fixture
async def world(tool_runner: str, tmp_path: Path, clock: FakeClock) -> AsyncIterator[World]:
    """A gateway with a tool of all functions and one of two, both the same real tool-runner."""
    tools = (
        ToolConfig(name="shell", url=tool_runner, allow=()),
        ToolConfig(name="files", url=tool_runner, allow=("file_read", "file_write")),
    )
    async with gateway_for(tools, tmp_path, clock) as made:
        yield made
