"""The issuer's process: settings, signals, listeners. Clock, randomness, environment are read here only."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from bulkhead import names
from bulkhead.errors import BulkheadError, InvalidValue
from bulkhead.issuer.allowance import Allowance
from bulkhead.issuer.app import Issuer
from bulkhead.issuer.certificate import ServerCertificate
from bulkhead.issuer.metrics import Metrics
from bulkhead.issuer.reviews import Reviews
from bulkhead.kube.auth import in_cluster
from bulkhead.kube.client import KubeClient
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["main"]

HEALTH_PORT, METRICS_PORT = 8081, 9464
_PER_SECOND: Final = 50.0  # one caller's tokens in the long run; a session needs one every ten minutes
_BURST: Final = 200.0
_STRANGERS_PER_SECOND, _STRANGERS_BURST = 5.0, 20.0
_LAST_CALLERS_SECONDS: Final = 1.0  # how long a Service may still send connections to a pod that ends
_SHUTDOWN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Settings:
    operator_namespace: str
    log_level: str


def main() -> int:
    """0 after a signal, 1 after a failure, 2 for settings that cannot work."""
    try:
        chosen = _settings(os.environ)
        credentials = in_cluster()
    except InvalidValue as error:
        print(f"bulkhead: {error}", file=sys.stderr)  # noqa: T201 - no log is configured yet
        return 2
    logs.configure(chosen.log_level)
    client = KubeClient(credentials, random=random.Random(secrets.randbits(64)).random)  # noqa: S311 - jitter
    try:
        asyncio.run(_run(chosen, client))
    except (BulkheadError, OSError) as error:
        logs.error(LogEvent.ISSUER_FAILED, error=str(error))
        return 1
    return 0


def _settings(environ: Mapping[str, str]) -> _Settings:
    namespace = environ.get("BULKHEAD_OPERATOR_NAMESPACE", "")
    level = environ.get("BULKHEAD_LOG_LEVEL", "info")
    if not namespace:
        raise InvalidValue("BULKHEAD_OPERATOR_NAMESPACE", namespace, "the operator's namespace")
    if level not in {"debug", "info", "warning", "error"}:
        raise InvalidValue("BULKHEAD_LOG_LEVEL", level, "debug, info, warning or error")
    return _Settings(namespace, level)


async def _run(chosen: _Settings, client: KubeClient) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(client)
        certificate = ServerCertificate(client, chosen.operator_namespace)
        issuer = Issuer(
            client=client,
            reviews=Reviews(client, time.monotonic),
            strangers=Allowance(_STRANGERS_PER_SECOND, _STRANGERS_BURST),
            callers=Allowance(_PER_SECOND, _BURST),
            metrics=metrics,
            operator_namespace=chosen.operator_namespace,
            monotonic=time.monotonic,
            wall=time.time,
            random_bytes=secrets.token_bytes,
        )
        renewing = asyncio.create_task(certificate.keep_current(), name="certificate")
        stack.callback(renewing.cancel)
        for app, port in (
            (_health(lambda: certificate.is_loaded and not stop.is_set()), HEALTH_PORT),
            (_metrics(metrics), METRICS_PORT),
        ):
            runner = await _listen(app, port)
            stack.push_async_callback(runner.cleanup)
        runner = web.AppRunner(issuer.app(), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, port=names.ISSUER_PORT, ssl_context=certificate.context).start()
        logs.info(LogEvent.ISSUER_STARTED)
        await stop.wait()
        await asyncio.sleep(_LAST_CALLERS_SECONDS)
    logs.info(LogEvent.ISSUER_STOPPED)


async def _listen(app: web.Application, port: int) -> web.AppRunner:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, port=port).start()
    return runner


def _health(is_ready: Callable[[], bool]) -> web.Application:
    async def live(_: web.Request) -> web.Response:
        return web.Response()

    async def ready(_: web.Request) -> web.Response:
        return web.Response(status=200 if is_ready() else 503)

    app = web.Application()
    app.add_routes([web.get("/livez", live), web.get("/readyz", ready)])
    return app


def _metrics(metrics: Metrics) -> web.Application:
    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    app = web.Application()
    app.add_routes([web.get("/metrics", exposition)])
    return app
