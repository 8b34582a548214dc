"""Services: one a component, reachable inside the cluster only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkhead.render.meta import metadata, selector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkhead.api.effective import Effective
    from bulkhead.render.rendered import Manifest

__all__ = ["service"]


def service(
    effective: Effective, name: str, component: str, ports: Mapping[str, int], tool: str | None = None
) -> Manifest:
    """A ClusterIP Service that selects one component's pods; port and target are the same number.

    A port's name is an RFC 1123 label of at most 63 characters here (Services), unlike the 15 of containers.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(effective, name, component=component, tool=tool),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(component, tool),
            "ports": [
                {"name": port_name, "port": port, "protocol": "TCP", "targetPort": port}
                for port_name, port in sorted(ports.items(), key=lambda item: item[1])
            ],
        },
    }
