"""The Events that the operator writes on its two kinds, each with its type and documentation."""

from __future__ import annotations

from enum import StrEnum
from typing import Self

__all__ = ["EventReason", "EventType"]


class EventType(StrEnum):
    """As in core/v1 Event."""

    NORMAL = "Normal"
    WARNING = "Warning"


class EventReason(StrEnum):
    """The closed set of Event reasons."""

    type: EventType
    documentation: str

    def __new__(cls, value: str, type_: EventType, documentation: str) -> Self:
        """The member is the plain string `value`."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.type = type_
        member.documentation = documentation
        return member

    PROVISIONED = "Provisioned", EventType.NORMAL, "The workspace became Ready for the first time."
    DRIFT_REPAIRED = (
        "DriftRepaired",
        EventType.WARNING,
        "An object of the workspace had been edited or deleted by somebody else and is as declared again.",
    )
    FOREIGN_POLICY_REMOVED = (
        "ForeignPolicyRemoved",
        EventType.WARNING,
        (
            "A NetworkPolicy that is not Bulkhead's was deleted: policies add up, and it could have opened "
            "more than ways between pods of the tenant's own."
        ),
    )
    EXPIRING = (
        "Expiring",
        EventType.NORMAL,
        "The deadline is nearer than warnBefore; edit spec.lifecycle to extend.",
    )
    EXPIRED = "Expired", EventType.NORMAL, "The deadline has passed and the workspace is being deleted."
    SUSPENDED = "Suspended", EventType.NORMAL, "spec.lifecycle.suspended turned true and the pods are going."
    RESUMED = (
        "Resumed",
        EventType.NORMAL,
        "spec.lifecycle.suspended turned false and the pods are coming back.",
    )
    TEARDOWN_STARTED = (
        "TeardownStarted",
        EventType.NORMAL,
        "Access, then ways out, then pods, then secrets are removed.",
    )
    TEARDOWN_BLOCKED = (
        "TeardownBlocked",
        EventType.WARNING,
        "Teardown waits for an object that does not go away; the message names it and its finalizers.",
    )
    TORN_DOWN = "TornDown", EventType.NORMAL, "Nothing of the workspace is left in the cluster."
    NAMESPACE_CONFLICT = (
        "NamespaceConflict",
        EventType.WARNING,
        "The namespace that the workspace needs belongs to somebody else; it was not touched.",
    )
    INVALID_SPEC = (
        "InvalidSpec",
        EventType.WARNING,
        "The spec, or its class, cannot work; the message names the field.",
    )
    SECRET_SOURCE_MISSING = (
        "SecretSourceMissing",
        EventType.WARNING,
        "A Secret or key that spec.secrets names does not exist or may not be read.",
    )
    QUOTA_EXCEEDS_NODES = (
        "QuotaExceedsNodes",
        EventType.WARNING,
        "The quota is larger than what all nodes that fit the class hold; the message names both.",
    )
    CLASS_IN_USE = (
        "ClassInUse",
        EventType.WARNING,
        "On a WorkspaceClass: it was deleted while workspaces use it, so its deletion waits for them.",
    )
    CLASS_NOT_READY = (
        "ClassNotReady",
        EventType.WARNING,
        "On a WorkspaceClass: the cluster cannot run it; the message says what is missing.",
    )
    AUDIT_BROKEN = (
        "AuditBroken",
        EventType.WARNING,
        "The audit log does not go on from the record that the operator saw last; the message says how.",
    )
    AUDIT_ACCEPTED = (
        "AuditAccepted",
        EventType.WARNING,
        "Somebody accepted a broken audit log by annotation; it is watched from the record named on.",
    )
    PROVISION_DEADLINE_EXCEEDED = (
        "ProvisionDeadlineExceeded",
        EventType.WARNING,
        "The workspace was not Ready within lifecycle.provisionDeadline; the operator goes on trying.",
    )
