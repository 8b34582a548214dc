"""`TenantWorkspace`: what a user asks for."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, ConfigDict, Field

from bulkhead.api import cel as rules
from bulkhead.api import fields
from bulkhead.api.base import BY_NAME, SET, ApiModel
from bulkhead.api.gateway import Limits, Memory, ModelChoice

__all__ = [
    "AccessRole",
    "AccessRule",
    "EgressRule",
    "EnvVar",
    "Lifecycle",
    "Quota",
    "ResourceList",
    "Resources",
    "Runtime",
    "SecretSource",
    "SecretSourceRef",
    "Storage",
    "Subject",
    "Tool",
    "WorkspaceSpec",
]

_Argument = Annotated[str, Field(max_length=4096)]
_Arguments = Annotated[tuple[_Argument, ...], Field(max_length=64)]
_Names = Annotated[tuple[fields.Name, ...], Field(max_length=32, json_schema_extra=SET)]


class Lifecycle(ApiModel):
    """When the workspace ends: the earliest deadline wins, none is acted on early, editing extends."""

    model_config = ConfigDict(json_schema_extra=rules.LIFECYCLE)

    ttl: fields.Duration | None = None
    """Time from creation to deletion, such as `8h` or `1h30m` (a week is `168h`). More than zero, and at
    most the class's ceiling. Default: the class's default, else its ceiling, else none."""

    idle_ttl: fields.Duration | None = Field(default=None, alias="idleTTL")
    """Time from the last session that the gateway served (or from creation, or from the gateway's own
    start) to deletion, such as `30m`. Default: the class's, else none."""

    expires_at: AwareDatetime | None = None
    """Absolute end, RFC 3339 with an offset, such as `2026-12-01T00:00:00Z`. After the workspace's
    creation; setting it into the past of a running workspace ends it now. Default: none."""

    provision_deadline: fields.Duration | None = None
    """Not Ready this long after creation or resumption: condition Stalled, reason
    ProvisionDeadlineExceeded. The workspace stays and still becomes Ready when it can. Default: the
    class's, `5m` if it names none."""

    warn_before: fields.WarningTime | None = None
    """How long before the deadline the condition Expiring turns True and the Event Expiring is sent; `0s`
    for no warning. Default: the class's, `10m` if it names none."""

    suspended: bool = False
    """True: no pod runs. Data, policies, quota, keys and deadlines stay. False brings the pods back."""


class ResourceList(ApiModel):
    """Amounts for one pod."""

    cpu: fields.Cpu | None = None
    """Cores: `2`, `0.5` or `500m`."""

    memory: fields.Size | None = None
    """Bytes: `512Mi` or `2Gi`."""

    ephemeral_storage: fields.Size | None = None
    """Bytes on the node's disk for /tmp and logs: `1Gi`."""


class Resources(ApiModel):
    """Requests and limits of one pod; what is left out comes from the class, then is built in."""

    model_config = ConfigDict(json_schema_extra=rules.RESOURCES)

    requests: ResourceList = ResourceList()
    """What the scheduler reserves. At most the limits."""

    limits: ResourceList = ResourceList()
    """What the pod may use at most. Zero is refused: container runtimes read it as no limit."""


class EnvVar(ApiModel):
    """One environment variable."""

    name: fields.EnvName
    """Name: letters, digits, underscores. HTTP_PROXY, HTTPS_PROXY, NO_PROXY and BULKHEAD_* are
    Bulkhead's."""

    value: str = Field(default="", max_length=4096)
    """Value, not secret: everyone who may read the workspace reads it. Secrets come through `secrets`."""


class Storage(ApiModel):
    """A volume that lives as long as the workspace."""

    size: fields.Size
    """Size of the volume, such as `5Gi`; counts against `quota.storage`."""


class EgressRule(ApiModel):
    """One destination, by exactly one of host and cidr."""

    model_config = ConfigDict(json_schema_extra=rules.EGRESS_RULE)

    host: fields.HostPattern | None = None
    """Lower-case DNS name such as `api.example.com`, or `*.example.com` for exactly one more label. Must be
    covered by the class's `allowed.egressHosts`."""

    cidr: fields.Cidr | None = None
    """Range such as `203.0.113.0/24`, no host bits set. Must lie inside the class's `allowed.egressCIDRs`,
    and not inside a denied range; denied ranges inside it stay closed."""

    ports: tuple[fields.Port, ...] = Field(default=(443,), min_length=1, max_length=16, json_schema_extra=SET)
    """TCP ports. Default: 443."""


class Runtime(ApiModel):
    """The tenant's agent code; it may talk to the gateway and, with `spec.egress`, to the egress proxy."""

    model_config = ConfigDict(json_schema_extra=rules.RUNTIME)

    image: fields.Image | None = None
    """Container image; must be allowed by the class and run as a numeric non-root user. Default: Bulkhead's
    sandbox image in its role runtime, which waits for calls."""

    command: _Arguments = ()
    """Entry point, instead of the image's."""

    args: _Arguments = ()
    """Arguments, instead of the image's."""

    env: tuple[EnvVar, ...] = Field(default=(), max_length=64, json_schema_extra=BY_NAME)
    """Environment variables, besides BULKHEAD_WORKSPACE, BULKHEAD_GATEWAY_URL and the proxy's."""

    resources: Resources | None = None
    """Requests and limits of each runtime pod. Default: the class's, then built-in ones."""

    replicas: int = Field(default=1, ge=0, le=10)
    """Number of runtime pods, 0 to 10; at most 1 with storage. Default: 1."""

    storage: Storage | None = None
    """Volume at /data that outlives the pod and is deleted with the workspace. Default: none."""

    secrets: _Names = ()
    """Names from `spec.secrets`, each in a file, /run/bulkhead/secrets/<name>/value."""


class Tool(ApiModel):
    """One MCP server in a pod of its own, reachable by the gateway only."""

    model_config = ConfigDict(json_schema_extra=rules.TOOL)

    name: fields.Name
    """Name, unique in the workspace, at most 30 characters: clients call `/v1/tools/<name>`."""

    image: fields.Image | None = None
    """Container image of the MCP server; must be allowed by the class and run as a numeric non-root user.
    Default: Bulkhead's sandbox image in its role tool-runner (shell, python, files)."""

    command: _Arguments = ()
    """Entry point, instead of the image's."""

    args: _Arguments = ()
    """Arguments, instead of the image's."""

    env: tuple[EnvVar, ...] = Field(default=(), max_length=64, json_schema_extra=BY_NAME)
    """Environment variables, besides BULKHEAD_WORKSPACE and the proxy's."""

    port: fields.Port = 8000
    """TCP port on which the MCP server listens (streamable HTTP). Default: 8000."""

    path: fields.UrlPath = "/mcp"
    """HTTP path of the MCP endpoint. Default: /mcp."""

    resources: Resources | None = None
    """Requests and limits of the tool's pod. Default: the class's, then built-in ones."""

    egress: tuple[EgressRule, ...] = Field(default=(), max_length=16)
    """Where this tool, and only this tool, may connect, through the egress proxy. Default: nowhere."""

    secrets: _Names = ()
    """Names from `spec.secrets`, each in a file, /run/bulkhead/secrets/<name>/value."""

    allow: tuple[fields.McpToolName, ...] = Field(default=(), max_length=64, json_schema_extra=SET)
    """MCP tool names that callers may use. Default: every tool that the server offers."""


class SecretSourceRef(ApiModel):
    """One key of a Secret outside the workspace."""

    namespace: fields.DnsLabel
    """Namespace of the Secret; must be one of the class's `allowed.secretNamespaces`."""

    name: fields.DnsSubdomain
    """Name of the Secret."""

    key: fields.SecretKey
    """Key in the Secret's data."""


class SecretSource(ApiModel):
    """A secret by reference: copied into the workspace, kept current, wiped at teardown."""

    name: fields.Name
    """Name by which the runtime and tools ask for it, unique in the workspace, at most 30 characters."""

    from_: SecretSourceRef = Field(alias="from")
    """Where the value comes from. While it cannot be read, the condition SecretsSynced says so."""


class Quota(ApiModel):
    """Ceilings over everything in the workspace; enforced by a ResourceQuota."""

    cpu: fields.Cpu | None = None
    """Sum of the CPU limits of all pods, the gateway's and egress proxy's included: `4` or `2500m`."""

    memory: fields.Size | None = None
    """Sum of the memory limits of all pods: `8Gi`."""

    pods: int | None = Field(default=None, ge=1, le=1000)
    """Number of pods, 1 to 1000."""

    storage: fields.Size | None = None
    """Sum of the sizes of all volumes, the gateway's included: `10Gi`."""

    ephemeral_storage: fields.Size | None = None
    """Sum of the pods' limits for node disk: `8Gi`."""


class AccessRole(StrEnum):
    """What a person may do inside the workspace's namespace."""

    VIEW = "view"
    OPERATE = "operate"
    ADMIN = "admin"


class Subject(StrEnum):
    """Kinds of subjects, as in RBAC."""

    USER = "User"
    GROUP = "Group"


class AccessRule(ApiModel):
    """Access of one user or group to the workspace's namespace."""

    model_config = ConfigDict(json_schema_extra=rules.ACCESS_RULE)

    kind: Subject
    """User or Group."""

    name: str = Field(min_length=1, max_length=253)
    """Name of the user or group as the API server knows it; a service account is the user
    `system:serviceaccount:<namespace>:<name>`. Names that stand for everybody are refused."""

    role: AccessRole
    """view: see everything but Secrets. operate: also read logs and restart. admin: also own Roles,
    RoleBindings, NetworkPolicies that only narrow, ConfigMaps, Services, volumes and workloads within the
    quota. No role may touch Secrets, or what Bulkhead manages."""


class WorkspaceSpec(ApiModel):
    """What the tenant gets. Everything is optional; an empty spec is a gateway without tools."""

    model_config = ConfigDict(json_schema_extra=rules.WORKSPACE_SPEC)

    class_name: fields.ClassName | None = None
    """WorkspaceClass with the defaults, ceilings and allow-lists. Default: the one class annotated
    `bulkhead.dev/is-default-class: "true"`."""

    tenant_id: fields.TenantId | None = Field(default=None, alias="tenantID")
    """Identifier of the tenant in session tokens and audit records. Immutable. Default: the workspace's
    name."""

    lifecycle: Lifecycle = Lifecycle()
    """Deadlines and suspension. Default: the class's deadlines, not suspended."""

    runtime: Runtime | None = None
    """The tenant's agent code. Default: no runtime pod."""

    tools: tuple[Tool, ...] = Field(default=(), max_length=32, json_schema_extra=BY_NAME)
    """MCP servers, at most 32 and at most the class's ceiling, each in a pod of its own. Default: none."""

    model: ModelChoice | None = None
    """The model that the gateway offers. Default: none."""

    egress: tuple[EgressRule, ...] = Field(default=(), max_length=64)
    """Where the runtime may connect, through the egress proxy. Default: nowhere."""

    secrets: tuple[SecretSource, ...] = Field(default=(), max_length=32, json_schema_extra=BY_NAME)
    """Secrets by reference, for the runtime and tools that name them. Default: none."""

    quota: Quota | None = None
    """Ceilings over the whole workspace, each at most the class's. Default: the class's, then built-in
    ones."""

    limits: Limits = Limits()
    """What users may spend, each at most the class's ceiling. Default: the class's, then built-in ones."""

    memory: Memory = Memory()
    """What the gateway remembers of conversations."""

    access: tuple[AccessRule, ...] = Field(default=(), max_length=32)
    """Who may look into the workspace's namespace. Default: nobody."""

    session_epoch: int = Field(default=0, ge=0, le=2**31 - 1)
    """Raise it to revoke every session token at once; it can never be lowered. Default: 0."""
