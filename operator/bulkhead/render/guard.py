"""The guard: an init container that lets nothing of a tenant's start before the network policy is in force.

It leaves when this very pod reaches the gateway (its one allowed arrow works, so policies are in force) and
does not reach the operator's canary, which the gateway confirms to be alive.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from bulkhead import names
from bulkhead.render.meta import canonical_json

if TYPE_CHECKING:
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Manifest

__all__ = ["canary", "guard", "guard_config"]


def canary(context: RenderContext) -> str:
    """The canary as the gateway finds it: a name that stands for every replica's own address."""
    host = f"{names.CANARY_SERVICE}.{context.operator_namespace}.svc.{context.cluster_domain}"
    return f"{host}:{names.CANARY_PORT}"


def guard_config(context: RenderContext) -> str:
    """BULKHEAD_CONFIG of every guard; the gateway's address must be known: a guard has no DNS."""
    address = context.service_ips[names.GATEWAY]
    host = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    return canonical_json({"gateway": f"{host}:{names.GATEWAY_GUARD_PORT}"})


def guard(context: RenderContext, guarded: Manifest) -> Manifest:
    """As hard as the container that it guards, and as large: the pod's request does not grow by it."""
    return {
        "name": names.GUARD,
        "image": context.sandbox_image,
        "imagePullPolicy": context.image_pull_policy,
        "args": [names.GUARD],
        "env": [{"name": "BULKHEAD_CONFIG", "value": guard_config(context)}],
        "resources": guarded["resources"],
        "securityContext": guarded["securityContext"],
    }
