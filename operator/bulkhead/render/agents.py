"""What runtime and tools have in common: tenant code, in a pod that knows no one but its doors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.api.workspace import Runtime
from bulkhead.render.egress import route_of
from bulkhead.render.meta import canonical_json
from bulkhead.render.pods import container_security, health_probes, secret_volume
from bulkhead.render.resources import complete
from bulkhead.render.secrets import copied_secret, missing_values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bulkhead.api.effective import Effective
    from bulkhead.api.workspace import Tool
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Manifest

__all__ = [
    "agent_container",
    "missing_facts",
    "proxy_env",
    "role_arguments",
    "secret_mounts",
    "secret_volumes",
]

_SECRETS_FOLDER: Final = "/run/bulkhead/secrets"


def role_arguments(agent: Runtime | Tool, context: RenderContext) -> tuple[str, ...] | None:
    """What the sandbox image is started with; None: the container runs the tenant's own program.

    The runtime role runs a command as its child, with health and a reaper around it. A tool with a command of
    its own is a server of its own.
    """
    if agent.image not in {None, context.sandbox_image}:
        return None
    if isinstance(agent, Runtime):
        return (names.RUNTIME, *agent.command, *agent.args)
    return None if agent.command else ("tool-runner", *agent.args)


def missing_facts(
    effective: Effective, context: RenderContext, agent: Runtime | Tool, services: Sequence[str]
) -> tuple[str, ...]:
    """What must be known before the pod can be written down: its doors' addresses, its secrets' values.

    The gateway's is among them for all: the guard asks it.
    """
    wanted = sorted({names.GATEWAY, *services})
    addresses = (f"Service {name}" for name in wanted if not context.service_ips.get(name))
    return (*addresses, *missing_values(effective, context, agent.secrets))


def proxy_env(effective: Effective, client: str) -> dict[str, str]:
    """The way out as programs expect it, in both spellings: curl reads the lower-case one only."""
    route = route_of(effective, client)
    if route is None:
        return {}
    proxy = f"http://{names.EGRESS}:{route.port}"
    near = f"{names.GATEWAY},localhost,127.0.0.1"
    upper = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "NO_PROXY": near}
    return {**upper, **{name.lower(): value for name, value in upper.items()}}


def secret_mounts(agent: Runtime | Tool) -> list[Manifest]:
    """A folder a secret, with the file `value` in it."""
    return [
        {"name": copied_secret(name), "mountPath": f"{_SECRETS_FOLDER}/{name}", "readOnly": True}
        for name in sorted(agent.secrets)
    ]


def secret_volumes(agent: Runtime | Tool) -> tuple[Manifest, ...]:
    """Only the secrets that this agent names."""
    return tuple(
        secret_volume(copied_secret(name), copied_secret(name), "value") for name in sorted(agent.secrets)
    )


def agent_container(
    agent: Runtime | Tool,
    context: RenderContext,
    *,
    name: str,
    port: int,
    config: Mapping[str, object],
    env: Mapping[str, str],
    mounts: Sequence[Manifest],
    tenant_readiness: Manifest | None,
) -> Manifest:
    """The container of a runtime or tool: our image in its role, or the tenant's as it comes."""
    ours = role_arguments(agent, context)
    # Ours last: a tenant's variable never replaces one that the platform sets.
    merged = {**{var.name: var.value for var in agent.env}, **env}
    if ours is not None:
        merged["BULKHEAD_CONFIG"] = canonical_json(config)
    container: Manifest = {
        "name": name,
        "image": agent.image or context.sandbox_image,
        "imagePullPolicy": context.image_pull_policy,
        "env": [_variable(key, value) for key, value in sorted(merged.items())],
        "ports": [
            {"containerPort": number, "protocol": "TCP"}
            for number in sorted({port, names.HEALTH_PORT} if ours is not None else {port})
        ],
        "resources": complete(agent.resources),
        "securityContext": container_security(),
        "volumeMounts": [*mounts, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a mount of its own
    }
    if ours is not None:
        return {**container, "args": list(ours), **health_probes()}
    if agent.command:
        container["command"] = list(agent.command)
    if agent.args:
        container["args"] = list(agent.args)
    return container if tenant_readiness is None else {**container, "readinessProbe": tenant_readiness}


def _variable(name: str, value: str) -> Manifest:
    """The API server drops an empty value; writing it would look like drift for ever."""
    return {"name": name, "value": value} if value else {"name": name}
