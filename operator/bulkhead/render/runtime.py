"""The runtime: the tenant's agent code, its Service and its volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead import names, quantity
from bulkhead.render.agents import agent_container, proxy_env, role_arguments, secret_mounts, secret_volumes
from bulkhead.render.egress import route_of
from bulkhead.render.guard import guard
from bulkhead.render.meta import canonical_json, metadata
from bulkhead.render.pods import PodShape, deployment, one_at_a_time
from bulkhead.render.services import service

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.api.workspace import Runtime, Storage
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Manifest

__all__ = ["runtime_claim", "runtime_deployment", "runtime_doors", "runtime_service"]

_CONFIG: Final = {"listen": names.RUNTIME_PORT, "health_listen": names.HEALTH_PORT}


def runtime_doors(effective: Effective) -> tuple[str, ...]:
    """The Services that the runtime calls by name."""
    way_out = route_of(effective, names.RUNTIME)
    return (names.GATEWAY,) if way_out is None else (names.GATEWAY, names.EGRESS)


def runtime_deployment(effective: Effective, context: RenderContext, runtime: Runtime) -> Manifest:
    """The agent's pods: gateway and, if allowed, egress by name; nothing else has an address for them."""
    container = agent_container(
        runtime,
        context,
        name=names.RUNTIME,
        port=names.RUNTIME_PORT,
        config=_CONFIG,
        env={
            "BULKHEAD_GATEWAY_URL": f"http://{names.GATEWAY}:{names.GATEWAY_PORT}",
            "BULKHEAD_WORKSPACE": effective.name,
            **proxy_env(effective, names.RUNTIME),
        },
        mounts=[*_data_mounts(runtime), *secret_mounts(runtime)],
        tenant_readiness=None,  # agent code need not listen at all
    )
    return deployment(
        effective,
        name=names.RUNTIME,
        component=names.RUNTIME,
        replicas=0 if effective.lifecycle.suspended else runtime.replicas,
        strategy=one_at_a_time(),
        containers=[container],
        config=canonical_json(_CONFIG),
        pod=PodShape(
            guard=guard(context, container),
            own_image=role_arguments(runtime, context) is not None,
            hosts={name: context.service_ips[name] for name in runtime_doors(effective)},
            volumes=(*_data_volumes(runtime), *secret_volumes(runtime)),
            secrets={name: context.secret_values[name] for name in runtime.secrets},
        ),
    )


def runtime_service(effective: Effective) -> Manifest:
    """Where the gateway reaches the agent."""
    return service(effective, names.RUNTIME, names.RUNTIME, {"agent": names.RUNTIME_PORT})


def runtime_claim(effective: Effective, storage: Storage) -> Manifest:
    """The agent's own volume, in the cluster's default StorageClass; it can grow, never shrink."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(effective, names.RUNTIME_DATA, component=names.RUNTIME),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": quantity.canonical(storage.size)}},
        },
    }


def _data_mounts(runtime: Runtime) -> list[Manifest]:
    return [{"name": "data", "mountPath": "/data"}] if runtime.storage is not None else []


def _data_volumes(runtime: Runtime) -> tuple[Manifest, ...]:
    if runtime.storage is None:
        return ()
    return ({"name": "data", "persistentVolumeClaim": {"claimName": names.RUNTIME_DATA}},)
