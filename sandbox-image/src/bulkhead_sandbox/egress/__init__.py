"""The egress: the only pod with a way out."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter

from bulkhead_sandbox.config import EgressConfig, read
from bulkhead_sandbox.egress.proxy import Limits, Proxy, Reason, look_up
from bulkhead_sandbox.egress.rules import DeniedRanges, Rules
from bulkhead_sandbox.health import health_app
from bulkhead_sandbox.serve import DRAIN_SECONDS, listening, stop_signal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from bulkhead_sandbox.egress.proxy import Resolver
    from bulkhead_sandbox.egress.target import Target
    from bulkhead_sandbox.logs import Log

__all__ = ["Judge", "proxies", "run"]

_LIMITS: Final = Limits()


class Judge:
    """Counts and logs each verdict: one line a connection."""

    def __init__(self, registry: CollectorRegistry, log: Log) -> None:
        self._log = log
        self._verdicts = Counter(
            "bulkhead_egress_connections", "Connections judged.", ("client", "reason"), registry=registry
        )

    def of(self, client: str) -> Callable[[Reason, Target | None], None]:
        """The judge of one client's connections."""
        log = self._log.bind(client=client)

        def judged(reason: Reason, target: Target | None) -> None:
            self._verdicts.labels(client, reason).inc()
            write = log.info if reason is Reason.ALLOWED else log.warning
            if target is None:
                write("egress.judged", reason=reason)
            else:
                write("egress.judged", reason=reason, host=str(target.host), port=target.port)

        return judged


@asynccontextmanager
async def proxies(
    config: EgressConfig,
    judge: Judge,
    *,
    resolver: Resolver = look_up,
    limits: Limits = _LIMITS,
    host: str | None = None,
    drain_seconds: float = DRAIN_SECONDS,
) -> AsyncIterator[tuple[int, ...]]:
    """Listen on each client's port and give the real ports; at the end, let tunnels end for a while."""
    denied = DeniedRanges.read(config.denied_cidrs)
    running = [
        Proxy(
            Rules.read(listener.rules, f"listeners[{i}]"),
            denied,
            resolver=resolver,
            limits=limits,
            judged=judge.of(listener.client),
        )
        for i, listener in enumerate(config.listeners)
    ]
    async with AsyncExitStack() as stack:
        ports = []
        for listener, proxy in zip(config.listeners, running, strict=True):
            server = await asyncio.start_server(proxy.accept, host, listener.port)
            stack.callback(server.close)
            ports.append(server.sockets[0].getsockname()[1])
        yield tuple(ports)
    await asyncio.gather(*(proxy.drain(drain_seconds) for proxy in running))


async def run(environment: Mapping[str, str], log: Log) -> int:
    """Serve until SIGTERM, then let tunnels end within 20 s."""
    config = read(EgressConfig, environment)
    log = log.bind(workspace=config.workspace, workspace_uid=config.workspace_uid)
    registry = CollectorRegistry()
    stop = stop_signal()
    health = health_app({"draining": lambda: not stop.is_set()}, registry)
    async with (
        proxies(config, Judge(registry, log)),
        listening((health, config.health_listen), drain_seconds=0),
    ):
        log.info("egress.started")
        await stop.wait()
        log.info("egress.draining")
    log.info("egress.stopped")
    return 0
