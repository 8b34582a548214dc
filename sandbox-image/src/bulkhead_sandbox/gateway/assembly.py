"""One workspace's gateway, put together from its parts, and what must hold for it to be ready."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from bulkhead_sandbox.config import ConfigError
from bulkhead_sandbox.gateway.activity import Activity
from bulkhead_sandbox.gateway.audit import content_mac
from bulkhead_sandbox.gateway.content import Tags
from bulkhead_sandbox.gateway.http.answers import Answers
from bulkhead_sandbox.gateway.http.audit_log import AuditRoutes
from bulkhead_sandbox.gateway.http.conversations import ConversationRoutes
from bulkhead_sandbox.gateway.http.operator import OperatorSurface
from bulkhead_sandbox.gateway.http.own import OwnSession
from bulkhead_sandbox.gateway.http.surface import Surface
from bulkhead_sandbox.gateway.http.tool_calls import ToolCalls
from bulkhead_sandbox.gateway.known import KnowingScanner
from bulkhead_sandbox.gateway.limits import Limiter
from bulkhead_sandbox.gateway.mcp_client import McpClient
from bulkhead_sandbox.gateway.memory import Conversations, MemoryFailed
from bulkhead_sandbox.gateway.metrics import Metrics
from bulkhead_sandbox.gateway.model import (
    CacheSalt,
    Model,
    ModelApi,
    ModelMetrics,
    Timeouts,
    Upstream,
    model_session,
)
from bulkhead_sandbox.gateway.model import Parts as ModelParts
from bulkhead_sandbox.gateway.security import SecurityEvents
from bulkhead_sandbox.gateway.sessions import Delegation, EpochFile, KeyRing, Proofs, Sessions
from bulkhead_sandbox.gateway.state import EmbeddedState, StateFailed
from bulkhead_sandbox.gateway.tools import Tools

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping

    from aiohttp import web

    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.config import GatewayConfig
    from bulkhead_sandbox.gateway.http.audit_log import AuditLog
    from bulkhead_sandbox.logs import Log
    from bulkhead_wire.gateway_keys import GatewayKeys

__all__ = ["Assembly", "Outside", "assembled", "upstream_session"]

_SWEEP_SECONDS: Final = 30.0


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
    config: GatewayConfig, keys: GatewayKeys, audit: AuditLog, outside: Outside
) -> AsyncIterator[Assembly]:
    """The parts, alive until the block ends; what they count and remember is on the disk then."""
    metrics = Metrics()
    async with (
        _state(config, outside) as state,
        _conversations(config, keys, metrics, outside) as conversations,
        upstream_session() as tools_session,
        model_session() as models_session,
    ):
        shared = _Shared(config, keys, audit, outside, metrics, state, conversations)
        metrics.limit_debt.set_function(shared.limiter.debt_tokens)
        metrics.audit_seq.set_function(lambda: audit.seq)
        metrics.audit_lag.set_function(audit.lag_seconds)
        surface = Surface(
            (
                *shared.own().routes(),
                *shared.conversation_routes().routes(),
                *shared.models(models_session).routes(),
                *shared.tools(tools_session).routes(),
                *AuditRoutes(audit).routes(),
            ),
            sessions=shared.sessions,
            activity=shared.activity,
            security=shared.security,
            answers=shared.answers,
        )
        yield Assembly(
            surface=surface.app(),
            operator_surface=shared.operator_surface().app(),
            metrics=metrics,
            checks={
                "keys": lambda: shared.sessions.ready,
                "state": lambda: state.healthy,
                "audit": lambda: audit.healthy,
                "draining": lambda: not outside.draining(),
            },
        )


class _Shared:
    """What more than one part is made with."""

    def __init__(
        self,
        config: GatewayConfig,
        keys: GatewayKeys,
        audit: AuditLog,
        outside: Outside,
        metrics: Metrics,
        state: EmbeddedState,
        conversations: Conversations,
    ) -> None:
        self._config = config
        self._keys = keys
        self._audit = audit
        self._outside = outside
        self._metrics = metrics
        self._state = state
        self._conversations = conversations
        wall, log = outside.wall, outside.log
        self.activity = Activity(wall)
        self.answers = Answers(metrics=metrics, clock=outside.monotonic, log=log, draining=outside.draining)
        self.security = SecurityEvents(audit, metrics, outside.monotonic)
        self.limiter = Limiter(config.limits, state, clock=outside.monotonic, wall=wall)
        self._delegation = Delegation(keys.signing, config.audience, outside.random_bytes)
        self._key_ring = KeyRing(config.jwks_file, wall, log)
        self.sessions = Sessions(
            config,
            keys=self._key_ring,
            epoch_file=EpochFile(config.epoch_file, wall, log),
            pushed=state,
            seen=state,
            delegation=self._delegation,
            proofs=Proofs(wall),
            clock=wall,
        )
        self._tags = Tags(keys.tag, config.workspace_uid)
        self._scanner = KnowingScanner(
            self._tags,
            [model.key_file for model in config.models if model.key_file is not None],
            wall,
            on_secret=lambda _name: metrics.security_events.labels("secret_redacted").inc(),
        )
        self._mac = content_mac(keys.tag)

    def own(self) -> OwnSession:
        return OwnSession(
            self._config.workspace,
            delegation=self._delegation,
            limiter=self.limiter,
            audit=self._audit,
            clock=self._outside.wall,
        )

    def conversation_routes(self) -> ConversationRoutes:
        return ConversationRoutes(
            self._conversations,
            seen=self._state,
            random_bytes=self._outside.random_bytes,
            limiter=self.limiter,
            audit=self._audit,
        )

    def tools(self, session: aiohttp.ClientSession) -> ToolCalls:
        tools = Tools(self._config.tools, McpClient(session), metrics=self._metrics, log=self._outside.log)
        return ToolCalls(
            tools,
            limiter=self.limiter,
            audit=self._audit,
            security=self.security,
            scanner=self._scanner,
            mac=self._mac,
        )

    def models(self, session: aiohttp.ClientSession) -> ModelApi:
        outside = self._outside
        models = [
            Model(
                config,
                Upstream(config, session, timeouts=Timeouts(), clock=outside.monotonic, log=outside.log),
            )
            for config in self._config.models
        ]
        parts = ModelParts(
            limiter=self.limiter,
            audit=self._audit,
            security=self.security,
            tags=self._tags,
            scanner=self._scanner,
            history=self._conversations,
            salt=CacheSalt(self._keys.cache_salt, lambda: self.sessions.epoch),
            metrics=ModelMetrics(self._metrics.registry),
            mac=self._mac,
            random_bytes=outside.random_bytes,
            clock=outside.monotonic,
            wall=outside.wall,
        )
        return ModelApi(models, parts)

    def operator_surface(self) -> OperatorSurface:
        return OperatorSurface(
            self._config.workspace_uid,
            keys=self._key_ring,
            epoch=self._state,
            audit=self._audit,
            conversations=self._conversations,
            activity=self.activity,
            security=self.security,
            answers=self.answers,
            clock=self._outside.wall,
        )


@asynccontextmanager
async def _state(config: GatewayConfig, outside: Outside) -> AsyncIterator[EmbeddedState]:
    """The state's file, written behind until the block ends and once more then."""
    limits = config.limits
    try:
        state = await EmbeddedState.open(
            Path(config.data_folder) / "state.db",
            wall=outside.wall,
            kept_from=min(limits.per_user.tokens_per_day, limits.tenant.tokens_per_day),
            log=outside.log,
        )
    except StateFailed as error:
        raise ConfigError(f"data_folder: {error}") from error
    try:
        async with _running(state.flushing()):
            yield state
    finally:
        await state.close()


@asynccontextmanager
async def _conversations(
    config: GatewayConfig, keys: GatewayKeys, metrics: Metrics, outside: Outside
) -> AsyncIterator[Conversations]:
    """The memory, swept until the block ends; it stays for the gateway that takes over."""
    conversations = Conversations(
        Path(config.data_folder) / "memory",
        keys.tag,
        wall=outside.wall,
        monotonic=outside.monotonic,
        random_bytes=outside.random_bytes,
        session_ttl_seconds=config.memory.session_ttl_seconds,
    )

    async def sweeping() -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                swept = await conversations.sweep()
            except MemoryFailed as failed:
                outside.log.error("memory.failed", reason=failed.reason)  # noqa: TRY400 - not Python's
                continue
            metrics.memory_expired.labels("conversation").inc(swept.conversations)
            metrics.memory_expired.labels("turn").inc(swept.turns)

    try:
        await conversations.open()
    except MemoryFailed as failed:
        raise ConfigError(f"data_folder: memory: {failed.reason}") from failed
    try:
        async with _running(sweeping()):
            yield conversations
    finally:
        await conversations.close()


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """`work` goes on until the block ends."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
