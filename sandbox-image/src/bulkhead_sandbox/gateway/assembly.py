"""One workspace's gateway, put together from its parts, and what must hold for it to be ready."""

from __future__ import annotations

import asyncio
import hmac
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bulkhead_sandbox.gateway.activity import Activity
from bulkhead_sandbox.gateway.content import Scanner, Tags
from bulkhead_sandbox.gateway.http.answers import Answers
from bulkhead_sandbox.gateway.http.operator import OperatorSurface
from bulkhead_sandbox.gateway.http.own import OwnSession
from bulkhead_sandbox.gateway.http.surface import Surface
from bulkhead_sandbox.gateway.http.tool_calls import ToolCalls
from bulkhead_sandbox.gateway.limits import Limiter
from bulkhead_sandbox.gateway.mcp_client import McpClient
from bulkhead_sandbox.gateway.metrics import Metrics
from bulkhead_sandbox.gateway.security import SecurityEvents
from bulkhead_sandbox.gateway.sessions import Delegation, EpochFile, KeyRing, Proofs, Sessions
from bulkhead_sandbox.gateway.state import EmbeddedState
from bulkhead_sandbox.gateway.tools import Tools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from aiohttp import web

    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.config import GatewayConfig
    from bulkhead_sandbox.gateway.trail import Trail
    from bulkhead_sandbox.logs import Log
    from bulkhead_wire.gateway_keys import GatewayKeys

__all__ = ["Assembly", "Outside", "assembled", "upstream_session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What a gateway has from elsewhere: time, randomness, a log, and whether it is to close."""

    wall: Clock
    monotonic: Clock
    random_bytes: Callable[[int], bytes]
    log: Log
    draining: Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What is served, and the checks of readiness."""

    surface: web.Application
    operator_surface: web.Application
    metrics: Metrics
    checks: Mapping[str, Callable[[], bool]]


def upstream_session() -> aiohttp.ClientSession:
    """An HTTP client without memory: no cookies, no proxy from the environment, nothing decompressed."""
    return aiohttp.ClientSession(
        auto_decompress=False,
        connector=aiohttp.TCPConnector(limit=256, limit_per_host=64),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10),
        trust_env=False,
    )


@asynccontextmanager
async def assembled(
    config: GatewayConfig, keys: GatewayKeys, audit: Trail, outside: Outside
) -> AsyncIterator[Assembly]:
    """The parts, alive until the block ends; what they count is in the file then."""
    log, wall = outside.log, outside.wall
    metrics, activity = Metrics(), Activity(wall)
    answers = Answers(metrics=metrics, clock=outside.monotonic, log=log, draining=outside.draining)
    security = SecurityEvents(audit, metrics, outside.monotonic)
    key_ring = KeyRing(config.jwks_file, wall, log)
    delegation = Delegation(keys.signing, config.audience, outside.random_bytes)
    async with _state(config, wall, log) as state, upstream_session() as upstream:
        limiter = Limiter(config.limits, state, clock=outside.monotonic, wall=wall)
        metrics.limit_debt.set_function(limiter.debt_tokens)
        sessions = Sessions(
            config,
            keys=key_ring,
            epoch_file=EpochFile(config.epoch_file, wall, log),
            pushed=state,
            seen=state,
            delegation=delegation,
            proofs=Proofs(wall),
            clock=wall,
        )
        own = OwnSession(config.workspace, delegation=delegation, limiter=limiter, audit=audit, clock=wall)
        scanner = _scanner(config, keys, metrics)
        mac = _mac(keys)
        tools = Tools(config.tools, McpClient(upstream), metrics=metrics, log=log)
        tool_calls = ToolCalls(
            tools, limiter=limiter, audit=audit, security=security, scanner=scanner, mac=mac
        )
        surface = Surface(
            (*own.routes(), *tool_calls.routes()),
            sessions=sessions,
            activity=activity,
            security=security,
            answers=answers,
        )
        operator_surface = OperatorSurface(
            config.workspace_uid,
            keys=key_ring,
            epoch=state,
            activity=activity,
            security=security,
            answers=answers,
            clock=wall,
        )
        yield Assembly(
            surface=surface.app(),
            operator_surface=operator_surface.app(),
            metrics=metrics,
            checks={
                "keys": lambda: sessions.ready,
                "state": lambda: state.healthy,
                "draining": lambda: not outside.draining(),
            },
        )


def _scanner(config: GatewayConfig, keys: GatewayKeys, metrics: Metrics) -> Scanner:
    """What looks through all that models and tools say."""

    def count(_name: str) -> None:
        metrics.security_events.labels("secret_redacted").inc()

    return Scanner(Tags(keys.tag, config.workspace_uid), {}, on_secret=count)


def _mac(keys: GatewayKeys) -> Callable[[bytes], str]:
    """For the audit log: a digest that short texts cannot be guessed from."""
    key = HKDF(SHA256(), 32, salt=None, info=b"bulkhead audit mac v1").derive(keys.tag)
    return lambda data: hmac.digest(key, data, "sha256").hex()


@asynccontextmanager
async def _state(config: GatewayConfig, wall: Clock, log: Log) -> AsyncIterator[EmbeddedState]:
    """The state's file, written behind until the block ends and once more then."""
    limits = config.limits
    state = await EmbeddedState.open(
        Path(config.data_folder) / "state.db",
        wall=wall,
        kept_from=min(limits.per_user.tokens_per_day, limits.tenant.tokens_per_day),
        log=log,
    )
    flushing = asyncio.create_task(state.flushing())
    try:
        yield state
    finally:
        flushing.cancel()
        with suppress(asyncio.CancelledError):
            await flushing
        await state.close()
