"""Liveness, readiness and metrics, on a port of their own in every role."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from prometheus_client import CollectorRegistry

__all__ = ["health_app"]

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter, read by nobody


def health_app(checks: Mapping[str, Callable[[], bool]], registry: CollectorRegistry) -> web.Application:
    """`/livez` answers while the event loop turns; `/readyz` is 503 and lists the checks that do not hold."""

    async def livez(_request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_request: web.Request) -> web.Response:
        failing = [name for name, holds in checks.items() if not holds()]
        return web.json_response({"failing": failing}, status=503 if failing else 200)

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    return app
