"""What a workspace gets where neither it nor its class says anything, each entry with its reason."""

from __future__ import annotations

from typing import Final

from bulkhead.api.gateway import Rates
from bulkhead.api.workspace import Quota, ResourceList, Resources

__all__ = ["BUILTIN_QUOTA", "BUILTIN_RATES", "BUILTIN_RESOURCES", "MEMORY_SESSION_TTL", "TENANT_FACTOR"]


def _resources(requests: tuple[str, str, str], limits: tuple[str, str, str]) -> Resources:
    keys = ("cpu", "memory", "ephemeral_storage")
    return Resources(
        requests=ResourceList(**dict(zip(keys, requests, strict=True))),
        limits=ResourceList(**dict(zip(keys, limits, strict=True))),
    )


# Requests are what an idle pod needs, so that workspaces pack; limits leave room for one burst of work.
BUILTIN_RESOURCES: Final[dict[str, Resources]] = {
    # An idle aiohttp process is 40 to 60 MiB; forwarding is CPU-bound and short.
    "gateway": _resources(("50m", "64Mi", "32Mi"), ("500m", "192Mi", "64Mi")),
    # Splices sockets, holds no bodies.
    "egress": _resources(("25m", "64Mi", "32Mi"), ("250m", "128Mi", "64Mi")),
    # Unknown code: enough for an interpreter with some libraries, not for a model.
    "runtime": _resources(("50m", "128Mi", "64Mi"), ("500m", "512Mi", "512Mi")),
    # A server and its child processes: a shell, a script, files in /tmp.
    "tool": _resources(("25m", "64Mi", "64Mi"), ("500m", "256Mi", "256Mi")),
}

# One person at work with a chat model; a loop that runs away is stopped within the minute.
BUILTIN_RATES: Final = Rates(
    requests_per_minute=60, tokens_per_minute=20_000, tokens_per_day=500_000, concurrent=4
)
TENANT_FACTOR: Final = 10  # a team of such people
MEMORY_SESSION_TTL: Final = "1h"

# Holds a gateway, an egress proxy, a runtime and eight tools with the limits above, and room to roll them;
# of volumes the gateway's and one for the runtime.
BUILTIN_QUOTA: Final = Quota(cpu="8", memory="4Gi", pods=20, storage="10Gi", ephemeral_storage="4Gi")
