"""ResourceQuota and LimitRange: what one tenant can use at most.

`spec.quota` counts every pod, the gateway's and egress's included. The quota in force adds room for one more
pod of each of these two, because they roll without a gap. A field that neither workspace nor class sets is no
bound.
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

# One tenant must not fill etcd. Ours, at most: gateway, egress, runtime and 32 tools, 35 of each kind. An
# admin may make more of what its role allows; the rest has no room beyond ours.
_FIXED: Final = {
    "configmaps": "64",  # the tenant's, and the one with the cluster's certificate authority
    "count/cronjobs.batch": "8",  # the tenant's
    "count/daemonsets.apps": "0",  # no role may make one: it would run on every node
    "count/deployments.apps": "64",  # 35 ours
    "count/jobs.batch": "64",  # the tenant's; a CronJob keeps 4 finished ones beside the running one
    "count/leases.coordination.k8s.io": "8",  # none ours, no role may make one: for the platform
    "count/networkpolicies.networking.k8s.io": "64",  # 37 ours: default-deny, guard and one for each of 35
    "count/replicasets.apps": "512",  # 35 ours with 4 each while they roll; a tenant's Deployment keeps 11
    "count/rolebindings.rbac.authorization.k8s.io": "32",  # 4 ours
    "count/roles.rbac.authorization.k8s.io": "32",  # the tenant's
    "count/serviceaccounts": "40",  # 35 ours and `default`; no tenant makes one
    "count/statefulsets.apps": "16",  # the tenant's
    "persistentvolumeclaims": "8",  # 2 ours
    "replicationcontrollers": "0",  # no role may make one
    "resourcequotas": "1",  # this one: what it allows, no second one refuses
    # 35 ours: the sessions' public keys, the gateway's own, the model's and 32 copies; no tenant makes one.
    "secrets": "96",
    "services": "64",  # 35 ours
    "services.loadbalancers": "0",  # a way in that no NetworkPolicy of ours describes
    "services.nodeports": "0",  # likewise
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
