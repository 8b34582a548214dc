"""The egress: the only pod with a way out, and only if something may go out.

Each client has a port of its own, fenced by NetworkPolicy, so the port is the caller's identity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bulkhead import names
from bulkhead.api.ranges import DENIED_CIDRS
from bulkhead.render.meta import canonical_json
from bulkhead.render.pods import TRUSTED, deployment, sandbox_container, surge_free_of_gaps
from bulkhead.render.services import service

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.api.workspace import EgressRule
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Manifest

__all__ = ["Route", "denied_ranges", "egress_deployment", "egress_service", "route_of", "routes"]


@dataclass(frozen=True, slots=True)
class Route:
    """One client of the egress: its component name, the port that is its identity, where it may go."""

    client: str  # runtime | tool-<name>
    port: int
    rules: tuple[EgressRule, ...]


def routes(effective: Effective) -> tuple[Route, ...]:
    """The clients that may go out; none: there is no egress at all."""
    runtime = effective.egress if effective.runtime is not None else ()
    first = names.EGRESS_FIRST_PORT
    listed = [
        Route(names.RUNTIME, first, runtime),
        *(Route(names.tool(tool.name), first + 1 + i, tool.egress) for i, tool in enumerate(effective.tools)),
    ]
    return tuple(route for route in listed if route.rules)


def route_of(effective: Effective, client: str) -> Route | None:
    """A client's own route, or None: it may not go out."""
    return next((route for route in routes(effective) if route.client == client), None)


def denied_ranges(effective: Effective, context: RenderContext) -> tuple[str, ...]:
    """Ranges no rule can open: built in, the class's, and the cluster's own (pods, Services, nodes).

    Engines differ in whether an ipBlock matches pods and nodes: the cluster's ranges are always subtracted,
    which is right under both readings.
    """
    return tuple(dict.fromkeys((*DENIED_CIDRS, *effective.denied_cidrs, *context.cluster_cidrs)))


def egress_deployment(effective: Effective, context: RenderContext) -> Manifest:
    """One CONNECT proxy with a listener a client."""
    config = canonical_json(_config(effective, context))
    container = sandbox_container(
        names.EGRESS,
        context,
        config,
        resources=effective.egress_resources,
        ports={route.client: route.port for route in routes(effective)},
    )
    return deployment(
        effective,
        name=names.EGRESS,
        component=names.EGRESS,
        replicas=0 if effective.lifecycle.suspended else 1,
        strategy=surge_free_of_gaps(),
        containers=[container],
        config=config,
        pod=TRUSTED,
    )


def egress_service(effective: Effective) -> Manifest:
    """The address that hostAliases give to clients; a port a client."""
    ports = {route.client: route.port for route in routes(effective)}
    return service(effective, names.EGRESS, names.EGRESS, ports)


def _config(effective: Effective, context: RenderContext) -> dict[str, Any]:
    return {
        "workspace": effective.name,
        "workspace_uid": effective.uid,
        "health_listen": names.HEALTH_PORT,
        "denied_cidrs": list(denied_ranges(effective, context)),
        "listeners": [
            {"port": route.port, "client": route.client, "rules": [_rule(rule) for rule in route.rules]}
            for route in routes(effective)
        ],
    }


def _rule(rule: EgressRule) -> dict[str, Any]:
    target = {"host": rule.host} if rule.host is not None else {"cidr": rule.cidr}
    return {**target, "ports": sorted(set(rule.ports))}
