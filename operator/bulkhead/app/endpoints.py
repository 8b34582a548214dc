"""livez, readyz and metrics over HTTP, each port for one audience."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import orjson
from aiohttp import web
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkhead.telemetry.health import Health, Verdict

__all__ = ["serve"]

_UNWELL: Final = 503


def _answer(verdict: Verdict) -> web.Response:
    return web.Response(
        status=200 if verdict.ok else _UNWELL,
        body=orjson.dumps({"ok": verdict.ok} | dict(verdict.facts)),
        content_type="application/json",
    )


async def serve(
    *, health_port: int, metrics_port: int, health: Callable[[], Health], metrics: Callable[[], bytes]
) -> list[web.AppRunner]:
    """Listen on both ports; the caller cleans the runners up."""

    async def live(_: web.Request) -> web.Response:
        return _answer(health().live())

    async def ready(_: web.Request) -> web.Response:
        return _answer(health().ready())

    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=metrics(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    probes, scrapes = web.Application(), web.Application()
    probes.add_routes([web.get("/livez", live), web.get("/readyz", ready)])
    scrapes.add_routes([web.get("/metrics", exposition)])
    runners = []
    for application, port in ((probes, health_port), (scrapes, metrics_port)):
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, port=port).start()
        runners.append(runner)
    return runners
