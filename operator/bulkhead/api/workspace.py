"""`TenantWorkspace`: what a user asks for."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from bulkhead.api.base import ApiModel

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

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=30)]
Quantity = Annotated[str, Field(pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$", max_length=20)]
Duration = Annotated[str, Field(pattern=r"^([0-9]+h)?([0-9]+m)?([0-9]+s)?$", min_length=2, max_length=20)]
Port = Annotated[int, Field(ge=1, le=65535)]


class Lifecycle(ApiModel):
    """When the workspace ends; the earliest deadline wins, and editing extends it."""

    ttl: Duration | None = None
    idle_ttl: Duration | None = Field(default=None, alias="idleTTL")
    expires_at: datetime | None = None
    provision_deadline: Duration | None = None
    warn_before: Duration | None = None
    suspended: bool = False


class ResourceList(ApiModel):
    cpu: Quantity | None = None
    memory: Quantity | None = None
    ephemeral_storage: Quantity | None = None  # wire name here: ephemeralStorage; in manifests: ephemeral-storage


class Resources(ApiModel):
    requests: ResourceList = ResourceList()
    limits: ResourceList = ResourceList()


class EnvVar(ApiModel):
    name: str
    value: str = ""


class Storage(ApiModel):
    size: Quantity


class EgressRule(ApiModel):
    """Exactly one of host and cidr."""

    host: str | None = None  # exact name, or one leading "*." for exactly one label
    cidr: str | None = None
    ports: tuple[Port, ...] = (443,)


class Runtime(ApiModel):
    """The tenant's agent code. Absent: no runtime pod."""

    image: str | None = None  # default: the sandbox image, role runtime
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    resources: Resources | None = None  # default: the class's
    replicas: int = Field(default=1, ge=0, le=10)
    storage: Storage | None = None  # mounted at /data
    secrets: tuple[Name, ...] = ()  # names from spec.secrets, files below /run/bulkhead/secrets/<name>


class Tool(ApiModel):
    """One MCP server in a pod of its own, reachable by the gateway only."""

    name: Name
    image: str | None = None  # default: the sandbox image, role tool-runner
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    port: Port = 8000
    path: str = "/mcp"
    resources: Resources | None = None
    egress: tuple[EgressRule, ...] = ()
    secrets: tuple[Name, ...] = ()
    allow: tuple[str, ...] = ()  # MCP tool names that callers may use; empty: every one


class SecretSourceRef(ApiModel):
    namespace: str
    name: str
    key: str


class SecretSource(ApiModel):
    name: Name
    from_: SecretSourceRef = Field(alias="from")


class Quota(ApiModel):
    cpu: Quantity | None = None
    memory: Quantity | None = None
    pods: int | None = Field(default=None, ge=1)
    storage: Quantity | None = None
    ephemeral_storage: Quantity | None = None


class AccessRole(StrEnum):
    VIEW = "view"
    OPERATE = "operate"
    ADMIN = "admin"


class Subject(StrEnum):
    USER = "User"
    GROUP = "Group"


class AccessRule(ApiModel):
    kind: Subject
    name: str
    role: AccessRole


class WorkspaceSpec(ApiModel):
    class_name: str | None = None
    tenant_id: str | None = Field(default=None, alias="tenantID")
    lifecycle: Lifecycle = Lifecycle()
    runtime: Runtime | None = None
    tools: tuple[Tool, ...] = Field(default=(), max_length=32)
    egress: tuple[EgressRule, ...] = Field(default=(), max_length=64)  # for the runtime, through egress
    secrets: tuple[SecretSource, ...] = Field(default=(), max_length=32)
    quota: Quota | None = None
    access: tuple[AccessRule, ...] = Field(default=(), max_length=32)
    session_epoch: int = Field(default=0, ge=0)  # raise to revoke every token at once
