"""The gateway: the only way in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkhead import names, quantity
from bulkhead.render.guard import canary
from bulkhead.render.meta import canonical_json, metadata, namespace_of, selector
from bulkhead.render.pods import PodShape, deployment, sandbox_container, secret_volume, surge_free_of_gaps
from bulkhead.render.secrets import EPOCH_FILE, GATEWAY_KEY_FILES, JWKS_FILE
from bulkhead.render.services import service

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.api.gateway import Rates, SharedModel
    from bulkhead.api.workspace import Tool
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Manifest

__all__ = ["gateway_claim", "gateway_deployment", "gateway_service", "gateway_url"]

_SESSION_KEYS_FOLDER: Final = "/run/bulkhead/session-keys"
_KEYS_FOLDER: Final = "/run/bulkhead/gateway-keys"
_MODEL_KEY_FOLDER: Final = "/run/bulkhead/model-key"
_DATA_FOLDER: Final = "/data"
_PORTS: Final = {
    "sessions": names.GATEWAY_PORT,
    "guards": names.GATEWAY_GUARD_PORT,
    "operator": names.GATEWAY_OPERATOR_PORT,
}


def gateway_url(effective: Effective, context: RenderContext) -> str:
    """Where the class's clients reach the workspace."""
    return f"http://{_host(effective, context, names.GATEWAY)}:{names.GATEWAY_PORT}"


def gateway_deployment(effective: Effective, context: RenderContext) -> Manifest:
    """Verifies sessions with public keys, calls tools and model; holds nothing that could mint a token."""
    config = canonical_json(_config(effective, context))
    container = sandbox_container(
        names.GATEWAY,
        context,
        config,
        resources=effective.gateway_resources,
        ports=_PORTS,
        mounts=_mounts(effective),
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
            # None among `secrets`: the gateway reads public keys, epoch and the model's key again when they
            # change, so no session is dropped by a roll; its own keys never change.
            volumes=_volumes(effective),
            beside=selector(names.GATEWAY),
        ),
    )


def gateway_claim(effective: Effective) -> Manifest:
    """Audit log, conversations and counters; they outlive the pod and end with the workspace."""
    storage = effective.gateway_storage
    spec: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": quantity.canonical(storage.size)}},
    }
    if storage.storage_class_name is not None:
        spec["storageClassName"] = storage.storage_class_name
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(effective, names.GATEWAY_DATA, component=names.GATEWAY),
        "spec": spec,
    }


def gateway_service(effective: Effective) -> Manifest:
    """One Service for clients, the runtime, guards and the operator; policies tell them apart."""
    return service(effective, names.GATEWAY, names.GATEWAY, _PORTS)


def _has_model_key(effective: Effective) -> bool:
    return effective.model is not None and effective.model.api_key is not None


def _mounts(effective: Effective) -> list[Manifest]:
    mounts: list[Manifest] = [
        {"name": "session-keys", "mountPath": _SESSION_KEYS_FOLDER, "readOnly": True},
        {"name": "gateway-keys", "mountPath": _KEYS_FOLDER, "readOnly": True},
        {"name": "data", "mountPath": _DATA_FOLDER},
    ]
    if _has_model_key(effective):
        mounts.append({"name": "model-key", "mountPath": _MODEL_KEY_FOLDER, "readOnly": True})
    return mounts


def _volumes(effective: Effective) -> tuple[Manifest, ...]:
    volumes: list[Manifest] = [
        secret_volume("session-keys", names.SESSION_KEYS_SECRET, JWKS_FILE, EPOCH_FILE),
        secret_volume("gateway-keys", names.GATEWAY_KEYS_SECRET, *GATEWAY_KEY_FILES),
        {"name": "data", "persistentVolumeClaim": {"claimName": names.GATEWAY_DATA}},
    ]
    if _has_model_key(effective):
        volumes.append(secret_volume("model-key", names.MODEL_KEY_SECRET, "value"))
    return tuple(volumes)


def _config(effective: Effective, context: RenderContext) -> dict[str, Any]:
    return {
        "workspace": effective.name,
        "workspace_uid": effective.uid,
        "audience": names.audience(effective.uid),
        "issuer": "bulkhead",
        "listen": names.GATEWAY_PORT,
        "operator_listen": names.GATEWAY_OPERATOR_PORT,
        "health_listen": names.HEALTH_PORT,
        "guard_listen": names.GATEWAY_GUARD_PORT,
        "canary": canary(context),
        "jwks_file": f"{_SESSION_KEYS_FOLDER}/{JWKS_FILE}",
        "epoch_file": f"{_SESSION_KEYS_FOLDER}/{EPOCH_FILE}",
        "keys_folder": _KEYS_FOLDER,
        "data_folder": _DATA_FOLDER,
        "limits": {
            "per_user": _rates(effective.limits.per_user),
            "tenant": _rates(effective.limits.tenant),
        },
        "memory": {"session_ttl_seconds": effective.memory_session_ttl_seconds},
        "models": [] if effective.model is None else [_model(effective.model)],
        "tools": [_tool(effective, context, tool) for tool in effective.tools],
    }


def _rates(rates: Rates) -> dict[str, Any]:
    return rates.model_dump()


def _model(model: SharedModel) -> dict[str, Any]:
    return {
        "name": model.name,
        "url": model.url,
        "upstream_name": model.upstream_name,
        "context_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "embeddings": model.embeddings,
        "cache_salt": model.cache_salt,
        "key_file": None if model.api_key is None else f"{_MODEL_KEY_FOLDER}/value",
    }


def _tool(effective: Effective, context: RenderContext, tool: Tool) -> dict[str, Any]:
    host = _host(effective, context, names.tool(tool.name))
    return {"name": tool.name, "url": f"http://{host}:{tool.port}{tool.path}", "allow": sorted(tool.allow)}


def _host(effective: Effective, context: RenderContext, service_name: str) -> str:
    return f"{service_name}.{namespace_of(effective)}.svc.{context.cluster_domain}"
