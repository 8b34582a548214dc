"""ResourceQuota and LimitRange: what one tenant can use at most.

`spec.quota` counts every pod, the gateway's and egress's included. The quota in force adds room for one more
pod of each of these two: they roll without a gap, and a tenant that fills its quota must not be able to keep
a gateway from taking a new session epoch. A field that neither workspace nor class sets is no bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead import names, quantity
from bulkhead.render.egress import routes
from bulkhead.render.meta import metadata
from bulkhead.render.resources import DEFAULT_LIMITS, DEFAULT_REQUESTS, NOTHING, Room, room_for

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.render.rendered import Manifest

__all__ = ["limit_range", "resource_quota"]

# Ports on nodes and balancers would be ways in that no NetworkPolicy of ours describes; the counts keep one
# tenant from filling etcd. 32 tools need 34 Services and up to 33 Secrets.
_FIXED: Final = {
    "configmaps": "64",
    "persistentvolumeclaims": "8",
    "secrets": "96",
    "services": "64",
    "services.loadbalancers": "0",
    "services.nodeports": "0",
}


def resource_quota(effective: Effective) -> Manifest:
    """The workspace's quota plus room to roll the doors."""
    return {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": metadata(effective, names.QUOTA),
        "spec": {"hard": dict(sorted({**_FIXED, **_compute(effective)}.items()))},
    }


def limit_range(effective: Effective) -> Manifest:
    """Defaults for containers that name no resources, which the quota would otherwise refuse."""
    return {
        "apiVersion": "v1",
        "kind": "LimitRange",
        "metadata": metadata(effective, names.LIMITS),
        "spec": {
            "limits": [
                {
                    "type": "Container",
                    "default": dict(DEFAULT_LIMITS),
                    "defaultRequest": dict(DEFAULT_REQUESTS),
                }
            ]
        },
    }


def _compute(effective: Effective) -> dict[str, str]:
    asked = effective.quota
    room, pods = _rolling_room(effective)
    hard: dict[str, str] = {}
    if asked.cpu is not None:
        total = quantity.format_millicores(quantity.millicores(asked.cpu) + room["cpu"])
        hard |= {"limits.cpu": total, "requests.cpu": total}
    for name, given in (("memory", asked.memory), ("ephemeral-storage", asked.ephemeral_storage)):
        if given is not None:
            total = quantity.format_bytes(quantity.whole(given) + room[name])
            hard |= {f"limits.{name}": total, f"requests.{name}": total}
    if asked.pods is not None:
        hard["pods"] = str(asked.pods + pods)
    if asked.storage is not None:
        hard["requests.storage"] = quantity.canonical(asked.storage)
    return hard


def _rolling_room(effective: Effective) -> tuple[Room, int]:
    """What the gateway and egress need beyond themselves while they roll."""
    own = [effective.gateway_resources]
    if routes(effective):
        own.append(effective.egress_resources)
    total = dict(NOTHING)
    for resources in own:
        for name, amount in room_for(resources).items():
            total[name] += amount
    return total, len(own)
