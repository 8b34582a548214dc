"""The gateway: verifies session tokens and is the only one to call a workspace's tools."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import aiohttp

from bulkhead_sandbox.clock import monotonic_seconds, wall_seconds
from bulkhead_sandbox.config import GatewayConfig, read
from bulkhead_sandbox.gateway.activity import Activity
from bulkhead_sandbox.gateway.app import Gateway
from bulkhead_sandbox.gateway.auth import KeyRing, Sessions
from bulkhead_sandbox.gateway.canaries import Canaries, guard_app
from bulkhead_sandbox.gateway.mcp_client import McpClient
from bulkhead_sandbox.gateway.metrics import Metrics
from bulkhead_sandbox.gateway.tools import Tools
from bulkhead_sandbox.health import health_app
from bulkhead_sandbox.serve import listening, stop_signal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkhead_sandbox.logs import Log

__all__ = ["run", "upstream_session"]

_LAST_CALLERS_SECONDS: Final = 1.0  # how long a Service may still send new connections to a pod that ends


def upstream_session() -> aiohttp.ClientSession:
    """An HTTP client without memory: no cookies, no proxy from the environment, nothing decompressed."""
    return aiohttp.ClientSession(
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=256, limit_per_host=64),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        trust_env=False,
    )


async def run(environment: Mapping[str, str], log: Log) -> int:
    """Serve until SIGTERM, then finish what is under way within 20 s."""
    config = read(GatewayConfig, environment)
    log = log.bind(workspace=config.workspace, workspace_uid=config.workspace_uid)
    keys = KeyRing(config.jwks_file, wall_seconds, log)
    metrics = Metrics()
    activity = Activity(wall_seconds)
    stop = stop_signal()
    checks = {"keys": lambda: keys.current() is not None, "draining": lambda: not stop.is_set()}
    async with upstream_session() as session:
        gateway = Gateway(
            config,
            sessions=Sessions(config, keys, wall_seconds),
            tools=Tools(config.tools, McpClient(session), metrics=metrics, log=log),
            activity=activity,
            metrics=metrics,
            clock=wall_seconds,
            log=log,
        )
        async with listening(
            # First here is last to close: pods may start while sessions drain.
            (guard_app(Canaries(config.canary, monotonic_seconds)), config.guard_listen),
            (gateway.app(), config.listen),
            (gateway.operator_app(), config.operator_listen),
            (health_app(checks, metrics.registry), config.health_listen),
        ):
            log.info("gateway.started")
            await stop.wait()
            log.info("gateway.draining")
            await asyncio.sleep(_LAST_CALLERS_SECONDS)
    log.info("gateway.stopped")
    return 0
