"""`WorkspaceClass`: the administrator's defaults, ceilings and allow-lists."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from bulkhead.api import cel as rules
from bulkhead.api import fields
from bulkhead.api.base import SET, ApiModel
from bulkhead.api.workspace import Quota, Resources

__all__ = [
    "Allowed",
    "Ceilings",
    "ClassLifecycle",
    "ClassResources",
    "Defaults",
    "GatewayClient",
    "GatewaySettings",
    "WorkspaceClassSpec",
]


class ClassLifecycle(ApiModel):
    """Deadlines for workspaces that name none."""

    ttl: fields.Duration | None = None
    """Time from creation to deletion, such as `8h`. Default: the ceiling, else none."""

    idle_ttl: fields.Duration | None = Field(default=None, alias="idleTTL")
    """Time from the last session to deletion, such as `30m`. Default: none."""

    provision_deadline: fields.Duration = "5m"
    """Not Ready this long after creation or resumption: condition Stalled. Default: `5m`."""

    warn_before: fields.WarningTime = "10m"
    """How long before the deadline users are warned; `0s` for no warning. Default: `10m`."""


class ClassResources(ApiModel):
    """Requests and limits of one pod, by component; what is left out comes from built-in defaults."""

    gateway: Resources | None = None
    """For the gateway's pod."""

    egress: Resources | None = None
    """For the egress proxy's pod."""

    runtime: Resources | None = None
    """For each runtime pod whose workspace names none."""

    tool: Resources | None = None
    """For each tool's pod whose workspace names none."""


class Defaults(ApiModel):
    """What a workspace gets where it says nothing."""

    lifecycle: ClassLifecycle = ClassLifecycle()
    """Deadlines."""

    quota: Quota = Quota()
    """Ceilings over a whole workspace. Keys left out come from built-in defaults."""

    resources: ClassResources = ClassResources()
    """Requests and limits of pods."""


class Ceilings(ApiModel):
    """What a workspace may ask for at most; beyond it: condition Stalled, reason ExceedsClass."""

    ttl: fields.Duration | None = None
    """Longest life, from creation: for `lifecycle.ttl`, for `lifecycle.expiresAt` without a ttl, and for a
    workspace that names no end. Default: no ceiling."""

    quota: Quota = Quota()
    """Largest value of each key of `spec.quota`. Keys left out have no ceiling."""

    tools: int = Field(default=16, ge=0, le=32)
    """Largest number of tools, 0 to 32. Default: 16."""


class Allowed(ApiModel):
    """What workspaces may name. Empty means none; Bulkhead's own sandbox image is always allowed."""

    images: tuple[fields.ImageAllowance, ...] = Field(default=(), max_length=64, json_schema_extra=SET)
    """Images for runtime and tools: exact references, or beginnings that end in `*`, such as
    `registry.example/agents/*` or `*` for all; compared as written, without filling in a registry or tag.
    Default: none."""

    egress_hosts: tuple[fields.HostAllowance, ...] = Field(default=(), max_length=256, json_schema_extra=SET)
    """Host names for egress: exact, `*.example.com` for exactly one more label, or `*` for all. Default:
    none."""

    egress_cidrs: tuple[fields.Cidr, ...] = Field(
        default=(), alias="egressCIDRs", max_length=64, json_schema_extra=SET
    )
    """Ranges inside which egress by `cidr` may point, IPv4 or IPv6. Default: none."""

    secret_namespaces: tuple[fields.DnsLabel, ...] = Field(default=(), max_length=64, json_schema_extra=SET)
    """Namespaces from which `spec.secrets` may take values. Default: none."""


class GatewayClient(ApiModel):
    """Pods that may call the gateways, by the labels of their namespace and their own; all must match."""

    model_config = ConfigDict(json_schema_extra=rules.GATEWAY_CLIENT)

    namespace_labels: fields.LabelMap = Field(min_length=1)
    """Labels that the namespace must carry, at least one, such as `kubernetes.io/metadata.name:
    platform`."""

    pod_labels: fields.LabelMap = Field(default_factory=dict)
    """Labels that the pod must carry. Default: every pod of the namespace."""


class GatewaySettings(ApiModel):
    """The way into a workspace."""

    clients: tuple[GatewayClient, ...] = Field(default=(), max_length=16)
    """Who, outside the workspace, may connect to its gateway; a session token is still needed. Default:
    nobody."""


class WorkspaceClassSpec(ApiModel):
    """Defaults, ceilings and allow-lists for workspaces of this class; empty, it allows nothing extra."""

    defaults: Defaults = Defaults()
    """What a workspace gets where it says nothing."""

    ceilings: Ceilings = Ceilings()
    """What a workspace may ask for at most."""

    allowed: Allowed = Allowed()
    """What workspaces may name: images, destinations, namespaces of secrets."""

    denied_cidrs: tuple[fields.Cidr, ...] = Field(
        default=(), alias="deniedCIDRs", max_length=128, json_schema_extra=SET
    )
    """Ranges that no workspace may reach, besides those that are always denied (private, loopback,
    link-local, multicast, metadata, reserved) and the cluster's own. Default: none."""

    gateway: GatewaySettings = GatewaySettings()
    """The way into a workspace."""
