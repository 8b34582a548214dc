"""`status` of a TenantWorkspace and its conditions (kstatus-compatible)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from bulkhead.api.base import ApiModel

__all__ = ["Condition", "ConditionStatus", "ConditionType", "GatewayStatus", "NamespaceRef", "Reason", "WorkspaceStatus"]


class ConditionType(StrEnum):
    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    NAMESPACE_READY = "NamespaceReady"
    NETWORK_ISOLATED = "NetworkIsolated"
    QUOTA_APPLIED = "QuotaApplied"
    SECRETS_SYNCED = "SecretsSynced"
    GATEWAY_READY = "GatewayReady"
    RUNTIME_READY = "RuntimeReady"
    TOOLS_READY = "ToolsReady"
    EXPIRING = "Expiring"


class ConditionStatus(StrEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(StrEnum):
    """The closed set of condition reasons."""

    PROVISIONING = "Provisioning"
    READY = "Ready"
    NOT_READY = "NotReady"
    NOT_REQUESTED = "NotRequested"  # e.g. no runtime asked for
    SUSPENDED = "Suspended"
    TERMINATING = "Terminating"
    TEARDOWN_BLOCKED = "TeardownBlocked"
    INVALID_SPEC = "InvalidSpec"
    UNKNOWN_CLASS = "UnknownClass"
    EXCEEDS_CLASS = "ExceedsClass"
    NAMESPACE_CONFLICT = "NamespaceConflict"
    SECRET_SOURCE_MISSING = "SecretSourceMissing"  # noqa: S105 - a reason
    QUOTA_EXCEEDED = "QuotaExceeded"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    CRASH_LOOP = "CrashLoop"
    PROVISION_DEADLINE_EXCEEDED = "ProvisionDeadlineExceeded"
    EXPIRES_SOON = "ExpiresSoon"
    NOT_EXPIRING = "NotExpiring"
    API_ERROR = "ApiError"


class Condition(ApiModel):
    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str = ""
    observed_generation: int
    last_transition_time: datetime


class NamespaceRef(ApiModel):
    name: str
    uid: str


class GatewayStatus(ApiModel):
    url: str


class WorkspaceStatus(ApiModel):
    observed_generation: int = 0
    phase: str = ""
    namespace: NamespaceRef | None = None
    gateway: GatewayStatus | None = None
    agents: str = ""  # print column, "ready/wanted" over runtime and tools
    expires_at: datetime | None = None
    last_activity: datetime | None = None
    conditions: tuple[Condition, ...] = ()
