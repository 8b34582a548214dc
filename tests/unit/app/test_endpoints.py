"""Probes and metrics over real HTTP."""

from __future__ import annotations

import aiohttp
import pytest

from bulkhead.app import endpoints
from bulkhead.telemetry.health import Health
from bulkhead.telemetry.metrics import Metrics

WELL = Health(leading=False, started=True)


async def statuses(health: Health, ports: tuple[int, int]) -> dict[str, int]:
    runners = await endpoints.serve(
        health_port=ports[0], metrics_port=ports[1], health=lambda: health, metrics=Metrics("1").text
    )
    try:
        async with aiohttp.ClientSession() as session:
            found = {}
            for path, port in (("livez", ports[0]), ("readyz", ports[0]), ("metrics", ports[1])):
                async with session.get(f"http://127.0.0.1:{port}/{path}") as response:
                    found[path] = response.status
            return found
    finally:
        for runner in runners:
            await runner.cleanup()


@pytest.mark.parametrize(
    ("health", "live", "ready"),
    [
        (WELL, 200, 200),
        (Health(leading=True, started=True, queue_oldest_seconds=601), 503, 200),
        (Health(leading=True, started=True, watch_age_seconds={"pods": 1201}), 503, 200),
        (Health(leading=True, started=True, watch_age_seconds={"pods": 599}), 200, 200),
        (Health(leading=False, started=False), 200, 503),
        (Health(leading=True, started=True, stopping=True), 200, 503),
    ],
    ids=["standby", "stuck queue", "dead watch", "quiet watch", "starting", "stopping"],
)
async def test_probes_mean_something(
    health: Health, live: int, ready: int, unused_tcp_port_factory: pytest.FixtureRequest
) -> None:
    """A process that answers but does nothing must be restarted; a standby must not."""
    ports = (unused_tcp_port_factory(), unused_tcp_port_factory())  # type: ignore[operator]

    assert await statuses(health, ports) == {"livez": live, "readyz": ready, "metrics": 200}
