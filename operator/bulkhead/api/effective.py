"""A workspace's spec merged with its class: every default filled in, every unit exact.

Render works from it. Order of precedence, key by key: the workspace, its class, the built-in table. Defaults
never exceed the class's ceilings: what nobody asked for is lowered, what somebody asked for is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from bulkhead import duration, quantity
from bulkhead.api.builtin import MEMORY_SESSION_TTL
from bulkhead.api.ceilings import class_violations, subtractions
from bulkhead.api.checks import spec_violations
from bulkhead.api.merge import merged_limits, merged_quota, merged_resources, quota_shortages, unordered
from bulkhead.api.ranges import DENIED_CIDRS
from bulkhead.api.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bulkhead.api.gateway import GatewayStorage, Limits, SharedModel
    from bulkhead.api.workspace import (
        AccessRule,
        EgressRule,
        Lifecycle,
        Quota,
        Resources,
        Runtime,
        SecretSource,
        Tool,
        WorkspaceSpec,
    )
    from bulkhead.api.workspace_class import (
        GatewayClient,
        IsolationLevel,
        Toleration,
        WorkspaceClassSpec,
    )

__all__ = ["Effective", "EffectiveLifecycle", "Isolation", "Violation", "resolve"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectiveLifecycle:
    """Durations in seconds; None: no such deadline."""

    ttl_seconds: int | None
    idle_ttl_seconds: int | None
    expires_at: datetime | None  # aware UTC
    provision_deadline_seconds: int
    warn_before_seconds: int
    suspended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """How tenant code is kept from the node, and on which nodes the workspace's pods may run."""

    level: IsolationLevel
    runtime_class: str | None  # exactly at level Sandboxed
    node_selector: Mapping[str, str]  # sorted
    tolerations: tuple[Toleration, ...]  # sorted, each once

    @classmethod
    def of_class(cls, spec: WorkspaceClassSpec) -> Isolation:
        """What the class says; it is not the workspace's to choose."""
        wanted = spec.isolation
        return cls(
            level=wanted.level,
            runtime_class=wanted.runtime_class_name,
            node_selector=wanted.node_selector,
            tolerations=unordered(wanted.tolerations),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """One workspace as it shall be; images and resources are resolved, nothing is optional by accident."""

    name: str
    uid: str
    generation: int
    created_at: datetime
    tenant_id: str
    class_name: str
    lifecycle: EffectiveLifecycle
    runtime: Runtime | None  # image and resources filled in
    tools: tuple[Tool, ...]  # in spec order; image and resources filled in
    model: SharedModel | None  # what the gateway offers; upstreamName filled in
    egress: tuple[EgressRule, ...]
    secrets: tuple[SecretSource, ...]
    quota: Quota  # every key filled in, canonical
    limits: Limits  # every key filled in
    memory_session_ttl_seconds: int
    access: tuple[AccessRule, ...]
    session_epoch: int
    gateway_resources: Resources
    gateway_storage: GatewayStorage  # size canonical
    egress_resources: Resources
    gateway_clients: tuple[GatewayClient, ...]
    denied_cidrs: tuple[str, ...]  # the always-denied, then the class's; the cluster's come with the context
    isolation: Isolation
    allowed_images: tuple[str, ...]  # the class's, sorted; the sandbox image comes on top
    remarks: tuple[str, ...]  # what is done otherwise than asked, in sentences without a full stop


def resolve(
    *,
    name: str,
    uid: str,
    generation: int,
    created_at: datetime,
    spec: WorkspaceSpec,
    cls_name: str,
    cls_spec: WorkspaceClassSpec,
    sandbox_image: str,
) -> Effective | tuple[Violation, ...]:
    """The workspace as it shall be, or everything that keeps it from ever being: never an empty tuple."""
    violations = spec_violations(name, created_at, spec, sandbox_image=sandbox_image) + class_violations(
        created_at, spec, cls_spec, sandbox_image=sandbox_image
    )
    if violations:
        return violations
    defaults = cls_spec.defaults.resources
    effective = Effective(
        name=name,
        uid=uid,
        generation=generation,
        created_at=created_at,
        tenant_id=spec.tenant_id or name,
        class_name=cls_name,
        lifecycle=_lifecycle(spec.lifecycle, cls_spec),
        runtime=_runtime(spec.runtime, defaults.runtime, sandbox_image),
        tools=tuple(_tool(tool, defaults.tool, sandbox_image) for tool in spec.tools),
        model=_model(spec, cls_spec),
        egress=spec.egress,
        secrets=spec.secrets,
        quota=merged_quota(spec.quota, cls_spec.defaults.quota, cls_spec.ceilings.quota),
        limits=merged_limits(spec.limits, cls_spec.defaults.limits, cls_spec.ceilings.limits),
        memory_session_ttl_seconds=duration.seconds(spec.memory.session_ttl or MEMORY_SESSION_TTL),
        access=spec.access,
        session_epoch=spec.session_epoch,
        gateway_resources=merged_resources("gateway", defaults.gateway),
        gateway_storage=cls_spec.gateway.storage.model_copy(
            update={"size": quantity.canonical(cls_spec.gateway.storage.size)}
        ),
        egress_resources=merged_resources("egress", defaults.egress),
        gateway_clients=unordered(cls_spec.gateway.clients),
        denied_cidrs=tuple(dict.fromkeys((*DENIED_CIDRS, *sorted(cls_spec.denied_cidrs)))),
        isolation=Isolation.of_class(cls_spec),
        allowed_images=tuple(sorted(set(cls_spec.allowed.images))),
        remarks=subtractions(spec, cls_spec.denied_cidrs),
    )
    return _shortages(effective) or effective


def _lifecycle(lifecycle: Lifecycle, cls: WorkspaceClassSpec) -> EffectiveLifecycle:
    defaults = cls.defaults.lifecycle
    ttl = _seconds(lifecycle.ttl)
    if ttl is None:
        candidates = (_seconds(defaults.ttl), _seconds(cls.ceilings.ttl))
        ttl = min((seconds for seconds in candidates if seconds is not None), default=None)
    return EffectiveLifecycle(
        ttl_seconds=ttl,
        idle_ttl_seconds=_seconds(lifecycle.idle_ttl or defaults.idle_ttl),
        expires_at=lifecycle.expires_at.astimezone(UTC) if lifecycle.expires_at else None,
        provision_deadline_seconds=duration.seconds(
            lifecycle.provision_deadline or defaults.provision_deadline
        ),
        warn_before_seconds=duration.seconds(lifecycle.warn_before or defaults.warn_before),
        suspended=lifecycle.suspended,
    )


def _seconds(text: str | None) -> int | None:
    return None if text is None else duration.seconds(text)


def _model(spec: WorkspaceSpec, cls: WorkspaceClassSpec) -> SharedModel | None:
    """The one that the spec names; the class's checks have seen that it is there."""
    if spec.model is None:
        return None
    chosen = next(model for model in cls.models if model.name == spec.model.name)
    ranges: dict[str, object] = {"cidrs": tuple(sorted(chosen.cidrs))}
    return chosen.model_copy(update=ranges | {"upstream_name": chosen.upstream_name or chosen.name})


def _runtime(runtime: Runtime | None, defaults: Resources | None, sandbox_image: str) -> Runtime | None:
    if runtime is None:
        return None
    filled: dict[str, object] = {
        "image": runtime.image or sandbox_image,
        "resources": merged_resources("runtime", runtime.resources, defaults),
    }
    return runtime.model_copy(update=filled)


def _tool(tool: Tool, defaults: Resources | None, sandbox_image: str) -> Tool:
    filled: dict[str, object] = {
        "image": tool.image or sandbox_image,
        "resources": merged_resources("tool", tool.resources, defaults),
    }
    return tool.model_copy(update=filled)


def _shortages(effective: Effective) -> tuple[Violation, ...]:
    """A quota that cannot hold even one pod of each kind would leave a half-made workspace for ever."""
    pods = [("gateway", 1, effective.gateway_resources)]
    if effective.egress or any(tool.egress for tool in effective.tools):
        pods.append(("egress", 1, effective.egress_resources))
    runtime = effective.runtime
    if runtime is not None and runtime.resources is not None:
        pods.append(("runtime", runtime.replicas, runtime.resources))
    pods += [(f"tool {tool.name}", 1, tool.resources) for tool in effective.tools if tool.resources]
    volumes = [effective.gateway_storage.size]
    if runtime is not None and runtime.storage is not None:
        volumes.append(runtime.storage.size)
    return quota_shortages(effective.quota, pods, volumes)
