"""The gateway: verifies session tokens and is the only one to call a workspace's tools and model."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bulkhead_sandbox.clock import monotonic_seconds, wall_seconds
from bulkhead_sandbox.config import GatewayConfig, read
from bulkhead_sandbox.gateway.assembly import Outside, assembled
from bulkhead_sandbox.gateway.audit import Identity, open_audit
from bulkhead_sandbox.gateway.canaries import Canaries, guard_app
from bulkhead_sandbox.gateway.keys import read_keys
from bulkhead_sandbox.gateway.tls import ServerTls
from bulkhead_sandbox.health import health_app
from bulkhead_sandbox.serve import listening, stop_signal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from bulkhead_sandbox.logs import Log

__all__ = ["run"]

_LAST_CALLERS_SECONDS: Final = 1.0  # how long a Service may still send new connections to a pod that ends
_DRAIN_SECONDS: Final = 18.0  # with that second and the last writes: 20


async def run(environment: Mapping[str, str], log: Log) -> int:
    """Serve until SIGTERM, then finish what is under way within 20 s."""
    config = read(GatewayConfig, environment)
    log = log.bind(workspace=config.workspace, workspace_uid=config.workspace_uid)
    stop = stop_signal()
    outside = Outside(
        wall=wall_seconds,
        monotonic=monotonic_seconds,
        random_bytes=os.urandom,
        log=log,
        draining=stop.is_set,
    )
    tls = None if config.tls_folder is None else ServerTls(config.tls_folder, wall_seconds, log)
    context = None if tls is None else tls.context
    keys = read_keys(config.keys_folder)
    async with (
        _watching(tls),
        open_audit(
            Path(config.data_folder) / "audit",
            identity=Identity(
                workspace_uid=config.workspace_uid,
                tenant=config.workspace,
                # A container that is started again in the same pod is another process.
                process=f"{socket.gethostname()[:80]}.{os.urandom(4).hex()}",
            ),
            signing_seed=keys.signing,
            wall=wall_seconds,
            log=log,
        ) as audit,
        assembled(config, keys, audit, outside) as gateway,
        listening(
            # First here is last to close: pods may start while sessions drain.
            (guard_app(Canaries(config.canary, monotonic_seconds)), config.guard_listen),
            (gateway.operator_surface, config.operator_listen, context),
            (gateway.surface, config.listen, context),
            (health_app(gateway.checks, gateway.metrics.registry), config.health_listen),
            drain_seconds=_DRAIN_SECONDS,
        ),
    ):
        log.info("gateway.started")
        await stop.wait()
        log.info("gateway.draining")
        await asyncio.sleep(_LAST_CALLERS_SECONDS)
    log.info("gateway.stopped")
    return 0


@asynccontextmanager
async def _watching(tls: ServerTls | None) -> AsyncIterator[None]:
    """The certificate, taken anew when it is exchanged."""
    if tls is None:
        yield
        return
    watching = asyncio.create_task(tls.watching())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
