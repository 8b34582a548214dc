"""A workspace's spec merged with its class: what render works from, every default filled in, every unit exact."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from bulkhead.api.workspace import AccessRule, EgressRule, Quota, Resources, Runtime, SecretSource, Tool
from bulkhead.api.workspace_class import GatewayClient

__all__ = ["Effective", "EffectiveLifecycle", "Violation"]


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
class Effective:
    """One workspace as it shall be; images and resources are resolved, so nothing here is optional by accident."""

    name: str
    uid: str
    generation: int
    created_at: datetime
    tenant_id: str
    class_name: str
    lifecycle: EffectiveLifecycle
    runtime: Runtime | None  # image and resources filled in
    tools: tuple[Tool, ...]  # in spec order; image and resources filled in
    egress: tuple[EgressRule, ...]
    secrets: tuple[SecretSource, ...]
    quota: Quota
    access: tuple[AccessRule, ...]
    session_epoch: int
    gateway_resources: Resources
    egress_resources: Resources
    gateway_clients: tuple[GatewayClient, ...]
    denied_cidrs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a spec can never work as it is: the field, what was given, what is allowed."""

    reason: str  # a Reason: InvalidSpec, ExceedsClass or UnknownClass
    field: str
    given: str
    allowed: str
