"""`WorkspaceClass`: the administrator's defaults, ceilings and allow-lists."""

from __future__ import annotations

from pydantic import Field

from bulkhead.api.base import ApiModel
from bulkhead.api.workspace import Duration, Quota, Resources

__all__ = ["Allowed", "Ceilings", "ClassLifecycle", "ClassResources", "Defaults", "GatewayClient", "GatewaySettings", "WorkspaceClassSpec"]


class ClassLifecycle(ApiModel):
    ttl: Duration | None = None
    idle_ttl: Duration | None = Field(default=None, alias="idleTTL")
    provision_deadline: Duration = "5m"
    warn_before: Duration = "10m"


class ClassResources(ApiModel):
    gateway: Resources | None = None
    egress: Resources | None = None
    runtime: Resources | None = None
    tool: Resources | None = None


class Defaults(ApiModel):
    lifecycle: ClassLifecycle = ClassLifecycle()
    quota: Quota = Quota()
    resources: ClassResources = ClassResources()


class Ceilings(ApiModel):
    ttl: Duration | None = None
    quota: Quota = Quota()
    tools: int = Field(default=16, ge=0, le=32)


class Allowed(ApiModel):
    """Empty means none; the sandbox image itself is always allowed."""

    images: tuple[str, ...] = ()  # exact, or a prefix that ends in *
    egress_hosts: tuple[str, ...] = ()  # exact, "*.example.com" (one label) or "*"
    egress_cidrs: tuple[str, ...] = Field(default=(), alias="egressCIDRs")
    secret_namespaces: tuple[str, ...] = ()


class GatewayClient(ApiModel):
    """Pods that may call the gateway; labels must all match."""

    namespace_labels: dict[str, str]
    pod_labels: dict[str, str] = {}


class GatewaySettings(ApiModel):
    clients: tuple[GatewayClient, ...] = ()
    replicas: int = Field(default=1, ge=1, le=1)


class WorkspaceClassSpec(ApiModel):
    defaults: Defaults = Defaults()
    ceilings: Ceilings = Ceilings()
    allowed: Allowed = Allowed()
    denied_cidrs: tuple[str, ...] = Field(default=(), alias="deniedCIDRs")  # besides the built-in ones
    gateway: GatewaySettings = GatewaySettings()
