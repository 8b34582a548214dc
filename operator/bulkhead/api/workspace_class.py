"""`WorkspaceClass`: the administrator's defaults, ceilings and allow-lists."""

from __future__ import annotations

from enum import StrEnum

from pydantic import ConfigDict, Field

from bulkhead.api import cel as rules
from bulkhead.api import fields
from bulkhead.api.base import BY_NAME, SET, SHOWN, ApiModel
from bulkhead.api.gateway import GatewayStorage, Limits, SharedModel
from bulkhead.api.workspace import Quota, Resources

__all__ = [
    "Allowed",
    "Ceilings",
    "ClassLifecycle",
    "ClassResources",
    "Defaults",
    "GatewayClient",
    "GatewaySettings",
    "IsolationLevel",
    "IsolationSpec",
    "TaintEffect",
    "Toleration",
    "TolerationOperator",
    "WorkspaceClassSpec",
]


class IsolationLevel(StrEnum):
    """What stands between a tenant's code and the node's kernel, weakest first."""

    BASELINE = "Baseline"
    USER_NAMESPACE = "UserNamespace"
    SANDBOXED = "Sandboxed"


class TolerationOperator(StrEnum):
    """As in core/v1 Toleration."""

    EQUAL = "Equal"
    EXISTS = "Exists"


class TaintEffect(StrEnum):
    """As in core/v1 Taint."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(ApiModel):
    """A taint that the pods may live with, as in core/v1."""

    model_config = ConfigDict(json_schema_extra=rules.TOLERATION)

    key: fields.TaintKey = ""
    """Key of the taint. Empty, with operator Exists: every taint."""

    operator: TolerationOperator = TolerationOperator.EQUAL
    """Equal: key and value match. Exists: the key alone, so no value. Default: Equal."""

    value: fields.LabelValue = ""
    """Value of the taint, for operator Equal. Default: empty."""

    effect: TaintEffect | None = None
    """NoSchedule, PreferNoSchedule or NoExecute. Default: all three."""

    toleration_seconds: int | None = Field(default=None, ge=0, le=2**31 - 1)
    """With effect NoExecute: how long a pod may stay once the taint is there. Default: for ever."""


class IsolationSpec(ApiModel):
    """How tenant code is kept from the node, and on which nodes it may run."""

    model_config = ConfigDict(json_schema_extra=rules.ISOLATION)

    level: IsolationLevel = IsolationLevel.BASELINE
    """Baseline: restricted pods on the node's kernel. UserNamespace: besides, uid 0 in the pod is nobody on
    the node (hostUsers false). Sandboxed: a kernel of its own, by runtimeClassName. For pods that run tenant
    code; gateway and egress are Bulkhead's own and stay on the ordinary runtime. Default: Baseline."""

    runtime_class_name: fields.DnsSubdomain | None = None
    """RuntimeClass of tenant pods, such as `gvisor`; required at level Sandboxed, refused at the others.
    While it is missing no tenant pod starts."""

    node_selector: fields.LabelMap = Field(default_factory=dict)
    """Labels of the nodes on which the workspace's pods run, all of them. Default: every node."""

    tolerations: tuple[Toleration, ...] = Field(default=(), max_length=16)
    """Taints of nodes on which the workspace's pods, all of them, may run nevertheless. Default: none."""


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

    limits: Limits = Limits()
    """What users of a workspace may spend. Keys left out come from built-in defaults."""

    resources: ClassResources = ClassResources()
    """Requests and limits of pods."""


class Ceilings(ApiModel):
    """What a workspace may ask for at most; beyond it: condition Stalled, reason ExceedsClass."""

    ttl: fields.Duration | None = None
    """Longest life, from creation: for `lifecycle.ttl`, for `lifecycle.expiresAt` without a ttl, and for a
    workspace that names no end. Default: no ceiling."""

    quota: Quota = Quota()
    """Largest value of each key of `spec.quota`. Keys left out have no ceiling."""

    limits: Limits = Limits()
    """Largest value of each key of `spec.limits`. Keys left out have no ceiling."""

    tools: int = Field(default=16, ge=0, le=32)
    """Largest number of tools, 0 to 32. Default: 16."""


class Allowed(ApiModel):
    """What workspaces may name. Empty means none; Bulkhead's own sandbox image is always allowed."""

    images: tuple[fields.ImageAllowance, ...] = Field(default=(), max_length=64, json_schema_extra=SET)
    """Images for runtime and tools: exact references, or beginnings that end in `*`, such as
    `registry.example/agents/*`, with at least one slash before the `*`; compared as written, without
    filling in a registry or tag. Default: none."""

    egress_hosts: tuple[fields.HostPattern, ...] = Field(default=(), max_length=256, json_schema_extra=SET)
    """Host names for egress: exact, or `*.example.com` for exactly one more label. Default: none."""

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

    storage: GatewayStorage = GatewayStorage()
    """The gateway's volume."""


class WorkspaceClassSpec(ApiModel):
    """Isolation, defaults, ceilings and allow-lists for its workspaces; empty, it allows nothing extra."""

    model_config = ConfigDict(json_schema_extra=rules.CLASS_SPEC)

    isolation: IsolationSpec = Field(default=IsolationSpec(), json_schema_extra=SHOWN)
    """How tenant code is kept from the node, and on which nodes it may run."""

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

    models: tuple[SharedModel, ...] = Field(default=(), max_length=16, json_schema_extra=BY_NAME)
    """Models that workspaces may choose by name; gateways reach them, and no other pod. Default: none."""
