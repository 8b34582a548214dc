"""Condition types and reasons, each with the text that documents it in docs/reference."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from bulkhead.api.base import Documented

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CLASS_CONDITIONS", "WORKSPACE_CONDITIONS", "ConditionStatus", "ConditionType", "Reason"]


class ConditionType(Documented):
    """The aspects of a workspace, in the order in which they come true; then those that only a class has."""

    READY = "Ready", "Everything that the spec asks for exists and serves, and the policies are in force."
    RECONCILING = (
        "Reconciling",
        (
            "The operator is working towards the spec: written as True, with Ready Unknown, before any "
            "other work."
        ),
    )
    STALLED = (
        "Stalled",
        (
            "The operator cannot get further without a person: the reason and the message say which field"
            " or object, what was given and what is allowed. What already runs is left as it is."
        ),
    )
    NAMESPACE_READY = (
        "NamespaceReady",
        "The namespace exists, is this workspace's by UID, and enforces restricted Pod Security.",
    )
    NETWORK_ISOLATED = (
        "NetworkIsolated",
        (
            "Default-deny and every allow policy are in place exactly as rendered, and no foreign policy "
            "beside them opens more than ways between pods of the tenant's own. The message says which "
            "denied ranges were subtracted from spec.egress."
        ),
    )
    QUOTA_APPLIED = "QuotaApplied", "ResourceQuota and LimitRange are in place exactly as rendered."
    SECRETS_SYNCED = (
        "SecretsSynced",
        (
            "Every secret of the spec was read at its source and is current in the workspace. False does not "
            "keep Ready from being True while a value copied before is there."
        ),
    )
    GATEWAY_READY = "GatewayReady", "The gateway serves sessions, and the egress proxy runs if one is wanted."
    RUNTIME_READY = "RuntimeReady", "As many runtime pods are available as the spec asks for."
    TOOLS_READY = "ToolsReady", "Every tool's pod is available."
    EXPIRING = "Expiring", "The deadline is nearer than warnBefore; the message names it and how to extend."
    AUDIT_INTACT = (
        "AuditIntact",
        (
            "The gateway's audit log goes on from the record that the operator saw last, every record since "
            "then fits, and no call goes by without one. False does not keep Ready from being True: the "
            "workspace serves, its evidence does not hold."
        ),
    )
    IN_USE = (
        "InUse",
        "Workspaces go by this class; the message names some. While it is True, deleting the class waits.",
    )


CLASS_CONDITIONS: Final[Mapping[ConditionType, str]] = {
    ConditionType.READY: "The class can be read, and the cluster has what its isolation level needs.",
    ConditionType.IN_USE: ConditionType.IN_USE.documentation,
}
WORKSPACE_CONDITIONS: Final[Mapping[ConditionType, str]] = {
    each: each.documentation for each in ConditionType if each is not ConditionType.IN_USE
}


class ConditionStatus(StrEnum):
    """As in metav1.Condition."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Reason(Documented):
    """The closed set of condition reasons."""

    PROVISIONING = "Provisioning", "Objects are being made or pods are starting; nothing to do but wait."
    READY = "Ready", "As the spec asks."
    NOT_READY = "NotReady", "Something that was or should be there does not serve; the message names it."
    NOT_REQUESTED = "NotRequested", "The spec does not ask for it, for example for a runtime."
    SUSPENDED = "Suspended", "spec.lifecycle.suspended is true: no pod runs; set it to false to go on."
    TERMINATING = "Terminating", "The workspace was deleted or has expired, and teardown is under way."
    TEARDOWN_BLOCKED = (
        "TeardownBlocked",
        (
            "Teardown waits for an object that does not go away, mostly because of somebody's finalizer; "
            "the message names it. Nothing foreign is ever removed by force."
        ),
    )
    INVALID_SPEC = (
        "InvalidSpec",
        (
            "A field of the spec, or of its class, can never work as it is; the message names it and what is "
            "allowed."
        ),
    )
    UNKNOWN_CLASS = (
        "UnknownClass",
        (
            "spec.className names no WorkspaceClass, or is left out while not exactly one class is the "
            "default."
        ),
    )
    EXCEEDS_CLASS = (
        "ExceedsClass",
        "A field asks beyond the class's ceilings or allow-lists; the message names both.",
    )
    NAMESPACE_CONFLICT = (
        "NamespaceConflict",
        "The namespace that this workspace needs exists and belongs to somebody else. It is not touched.",
    )
    SECRET_SOURCE_MISSING = (
        "SecretSourceMissing",
        (
            "A Secret or key that spec.secrets names does not exist or may not be read; the message names it."
            " A value copied before is kept and used."
        ),
    )
    QUOTA_EXCEEDED = (
        "QuotaExceeded",
        "The workspace's quota refuses a pod; raise spec.quota or lower the limits.",
    )
    UNSCHEDULABLE = (
        "Unschedulable",
        "No node has room for a pod, or none matches; the message has the scheduler's words.",
    )
    RUNTIME_CLASS_MISSING = (
        "RuntimeClassMissing",
        (
            "The class isolates with a RuntimeClass that the cluster does not have: no tenant pod starts. "
            "Install it, or edit spec.isolation of the class."
        ),
    )
    NO_FITTING_NODE = (
        "NoFittingNode",
        (
            "No node fits the class's isolation: its node selector, tolerations and, at level UserNamespace, "
            "user namespaces. No tenant pod starts; the message counts the nodes by cause."
        ),
    )
    STORAGE_CLASS_MISSING = (
        "StorageClassMissing",
        (
            "Nothing makes a volume that a pod waits for: the StorageClass that is named does not exist, or "
            "none is named and none is the cluster's default. The message says which."
        ),
    )
    REVOCATION_PENDING = (
        "RevocationPending",
        (
            "spec.sessionEpoch was raised and a gateway that serves has not confirmed it yet; the message "
            "names the pod. It is asked again each second."
        ),
    )
    GUARD_WAITING = (
        "GuardWaiting",
        (
            "A pod's guard has not yet seen the network policies in force in that very pod, and holds the "
            "tenant's code back; the message names the pod, the guard's log what it waits for."
        ),
    )
    IMAGE_PULL_FAILED = "ImagePullFailed", "A node cannot pull an image; the message names pod and image."
    CRASH_LOOP = "CrashLoop", "A container keeps ending; the message names it, its logs say why."
    PROVISION_DEADLINE_EXCEEDED = (
        "ProvisionDeadlineExceeded",
        (
            "Not Ready within lifecycle.provisionDeadline; the other conditions say what is missing. The "
            "operator goes on trying."
        ),
    )
    EXPIRES_SOON = "ExpiresSoon", "The deadline is nearer than warnBefore."
    NOT_EXPIRING = "NotExpiring", "No deadline is near."
    IN_USE = "InUse", "Workspaces use the class; its deletion waits until the last one is gone."
    NOT_IN_USE = "NotInUse", "No workspace uses the class; deleting it takes effect at once."
    ANCHORED = "Anchored", "The audit log goes on from the record that stands in status.audit."
    REGRESSED = (
        "Regressed",
        (
            "The audit log ends before the record in status.audit: it was cut, or an older copy put back. "
            "To go on from what is there, see docs/security/audit.md."
        ),
    )
    FORKED = (
        "Forked",
        "The audit log has another record where status.audit has one: it was replaced or written anew.",
    )
    BROKEN = (
        "Broken",
        "A record of the audit log does not fit the one before it; the message names the first such one.",
    )
    STALLED_AUDIT = (
        "StalledAudit",
        "The gateway has served sessions since the last look, and its audit log has not grown.",
    )
    UNREACHABLE = "Unreachable", "The gateway is there and does not answer the operator; asked again."
    API_ERROR = (
        "ApiError",
        "The API server refuses or fails a request; the message has its words. Tried again.",
    )
    INTERNAL_ERROR = (
        "InternalError",
        (
            "The operator failed in a way that nobody foresaw: a bug. Its log has the traceback; it tries "
            "again. Other workspaces are not affected."
        ),
    )
