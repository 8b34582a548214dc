"""The gateway: the only way in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkhead import names
from bulkhead.render.guard import canary
from bulkhead.render.meta import canonical_json, namespace_of
from bulkhead.render.pods import PodShape, deployment, sandbox_container, secret_volume, surge_free_of_gaps
from bulkhead.render.services import service

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.api.workspace import Tool
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Manifest

__all__ = ["gateway_deployment", "gateway_service", "gateway_url"]

_KEYS_FOLDER: Final = "/run/bulkhead/session-keys"
_KEYS_FILE: Final = "jwks.json"
_PORTS: Final = {
    "sessions": names.GATEWAY_PORT,
    "guards": names.GATEWAY_GUARD_PORT,
    "operator": names.GATEWAY_OPERATOR_PORT,
}


def gateway_url(effective: Effective, context: RenderContext) -> str:
    """Where the class's clients reach the workspace."""
    return f"http://{_host(effective, context, names.GATEWAY)}:{names.GATEWAY_PORT}"


def gateway_deployment(effective: Effective, context: RenderContext) -> Manifest:
    """Verifies sessions with public keys and calls tools; holds nothing that could mint a token."""
    config = canonical_json(_config(effective, context))
    container = sandbox_container(
        names.GATEWAY,
        context,
        config,
        resources=effective.gateway_resources,
        ports=_PORTS,
        mounts=[{"name": "session-keys", "mountPath": _KEYS_FOLDER, "readOnly": True}],
    )
    return deployment(
        effective,
        name=names.GATEWAY,
        component=names.GATEWAY,
        replicas=0 if effective.lifecycle.suspended else 1,
        strategy=surge_free_of_gaps(),
        containers=[container],
        config=config,
        pod=PodShape(
            guard=None,
            own_image=True,
            # Not among `secrets`: the gateway reads the file again, so a new key drops no session by a roll.
            volumes=(secret_volume("session-keys", names.SESSION_KEYS_SECRET, _KEYS_FILE),),
        ),
    )


def gateway_service(effective: Effective) -> Manifest:
    """One Service for clients, the runtime, guards and the operator; policies tell them apart."""
    return service(effective, names.GATEWAY, names.GATEWAY, _PORTS)


def _config(effective: Effective, context: RenderContext) -> dict[str, Any]:
    return {
        "workspace": effective.name,
        "workspace_uid": effective.uid,
        "audience": names.audience(effective.uid),
        "issuer": "bulkhead",
        "session_epoch": effective.session_epoch,
        "listen": names.GATEWAY_PORT,
        "operator_listen": names.GATEWAY_OPERATOR_PORT,
        "health_listen": names.HEALTH_PORT,
        "guard_listen": names.GATEWAY_GUARD_PORT,
        "canary": canary(context),
        "jwks_file": f"{_KEYS_FOLDER}/{_KEYS_FILE}",
        "tools": [_tool(effective, context, tool) for tool in effective.tools],
    }


def _tool(effective: Effective, context: RenderContext, tool: Tool) -> dict[str, Any]:
    host = _host(effective, context, names.tool(tool.name))
    return {"name": tool.name, "url": f"http://{host}:{tool.port}{tool.path}", "allow": sorted(tool.allow)}


def _host(effective: Effective, context: RenderContext, service_name: str) -> str:
    return f"{service_name}.{namespace_of(effective)}.svc.{context.cluster_domain}"
