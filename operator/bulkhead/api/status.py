"""`status` of both kinds and their conditions (kstatus-compatible)."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BeforeValidator, Field, WithJsonSchema

from bulkhead.api.base import ApiModel
from bulkhead.api.conditions import ConditionStatus, ConditionType, Reason

__all__ = [
    "AuditStatus",
    "ClassStatus",
    "Condition",
    "ConditionStatus",
    "ConditionType",
    "GatewayStatus",
    "NamespaceRef",
    "Reason",
    "WorkspaceStatus",
]

_MESSAGE_LENGTH = 4096


def _shortened(message: object) -> object:
    """Long server answers end up in messages; a status write must not fail over them."""
    if isinstance(message, str) and len(message) > _MESSAGE_LENGTH:
        return f"{message[: _MESSAGE_LENGTH - 4]} ..."
    return message


# Open strings in the CRD: an older CRD must take what a newer operator says.
_OPEN = WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 64})


class Condition(ApiModel):
    """One aspect of the object, as in metav1.Condition."""

    type: Annotated[ConditionType, _OPEN]
    """Which aspect; docs/reference/conditions.md lists them."""

    status: ConditionStatus
    """True, False or Unknown."""

    reason: Annotated[Reason, _OPEN]
    """Why, in one word of a closed list; docs/reference/conditions.md explains each."""

    message: Annotated[str, BeforeValidator(_shortened), Field(max_length=_MESSAGE_LENGTH)] = ""
    """What, which object and what to do about it."""

    observed_generation: int = Field(ge=0)
    """Generation of the spec that this was judged from."""

    last_transition_time: AwareDatetime
    """When `status` of this condition last changed."""


_Conditions = Annotated[
    tuple[Condition, ...],
    Field(
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
    ),
]


class NamespaceRef(ApiModel):
    """The workspace's namespace, by identity."""

    name: str = Field(max_length=63)
    """Name, derived from the workspace's name and UID."""

    uid: str = Field(max_length=64)
    """UID; a namespace with another UID is not this workspace's."""


class GatewayStatus(ApiModel):
    """How clients reach the gateway."""

    url: str = Field(max_length=512)
    """Base URL inside the cluster."""

    session_epoch: int = Field(default=0, ge=0)
    """Tokens of earlier epochs are refused by every gateway. Behind `spec.sessionEpoch` while one that serves
    has not confirmed it."""


class AuditStatus(ApiModel):
    """The record of the gateway's audit log that the operator saw last and holds the log to."""

    seq: int = Field(ge=0)
    """Its number; the first record has 0."""

    head: str = Field(max_length=64)
    """Its hash, 64 hexadecimal digits: everything before it is fixed by it."""

    checked_at: AwareDatetime
    """When it was seen."""

    key_id: str = Field(alias="keyID", max_length=64)
    """Id of the gateway's key that signs the log's checkpoints."""


class WorkspaceStatus(ApiModel):
    """What the operator found and did; written by nobody else."""

    observed_generation: int = Field(default=0, ge=0)
    """Generation of the spec that this status speaks of."""

    phase: str = Field(default="", max_length=64)
    """One word for people, derived from the conditions; programs read the conditions."""

    namespace: NamespaceRef | None = None
    """The workspace's namespace, once it is there."""

    gateway: GatewayStatus | None = None
    """How clients reach the gateway, once its Service is there."""

    agents: str = Field(default="", max_length=16)
    """Ready and wanted pods of runtime and tools: `2/3`."""

    expires_at: AwareDatetime | None = None
    """The earliest deadline, by any of ttl, idleTTL and expiresAt."""

    last_activity: AwareDatetime | None = None
    """When the gateway last served a session, as far as the operator knows."""

    audit: AuditStatus | None = None
    """The newest record of the gateway's audit log that was checked."""

    conditions: _Conditions = ()
    """Aspects of the workspace, one of each type."""


class ClassStatus(ApiModel):
    """What the operator knows of the class; written by nobody else."""

    observed_generation: int = Field(default=0, ge=0)
    """Generation of the spec that this status speaks of."""

    workspaces: int = Field(default=0, ge=0)
    """Number of workspaces that go by this class, those that name none and get it by default included."""

    conditions: _Conditions = ()
    """Ready and InUse."""
