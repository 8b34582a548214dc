"""Service accounts: an identity a component, none with a token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkhead import names
from bulkhead.render.egress import routes
from bulkhead.render.meta import metadata

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.render.rendered import Manifest

__all__ = ["service_accounts"]


def service_accounts(effective: Effective) -> tuple[Manifest, ...]:
    """One for each component that exists; no pod of a workspace gets an API token."""
    components: list[tuple[str, str, str | None]] = [(names.GATEWAY, names.GATEWAY, None)]
    if routes(effective):
        components.append((names.EGRESS, names.EGRESS, None))
    if effective.runtime is not None:
        components.append((names.RUNTIME, names.RUNTIME, None))
    components += [(names.tool(tool.name), names.TOOL, tool.name) for tool in effective.tools]
    return tuple(
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(effective, name, component=component, tool=tool),
            "automountServiceAccountToken": False,
        }
        for name, component, tool in components
    )
