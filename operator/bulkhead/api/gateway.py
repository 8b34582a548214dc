"""What a gateway serves, keeps and limits: the parts of both kinds that are about model calls and memory."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from bulkhead.api import cel as rules
from bulkhead.api import fields
from bulkhead.api.base import SET, ApiModel

__all__ = [
    "ApiKeySource",
    "GatewayStorage",
    "Limits",
    "Memory",
    "ModelChoice",
    "ModelPods",
    "Rates",
    "SharedModel",
]

_Rate = Annotated[int, Field(ge=1, le=10**12)]


class Rates(ApiModel):
    """What may be spent; a call that would go beyond is refused before anything is asked of a model."""

    requests_per_minute: _Rate | None = None
    """Calls in a minute."""

    tokens_per_minute: _Rate | None = None
    """Tokens in a minute, input and output together."""

    tokens_per_day: _Rate | None = None
    """Tokens in a day (UTC); a restart of the gateway gives none of them back."""

    concurrent: _Rate | None = None
    """Calls at the same time."""


class Limits(ApiModel):
    """Rates of one user and of all users together; both hold at once."""

    per_user: Rates = Rates()
    """Of each user, by the subject of the session token."""

    tenant: Rates = Rates()
    """Of all users of a workspace together; what is left out is ten times the user's."""


class Memory(ApiModel):
    """What the gateway remembers of conversations."""

    session_ttl: fields.Duration | None = Field(default=None, alias="sessionTTL")
    """How long a conversation is kept after it was opened, such as `1h`; then it is erased. Default: `1h`."""


class ModelChoice(ApiModel):
    """The model that the gateway offers."""

    name: fields.Name
    """Name of one of the class's models."""


class ModelPods(ApiModel):
    """Pods behind a model's URL, by the labels of their namespace and their own; all must match."""

    namespace_labels: fields.SomeLabels
    """Labels of the namespace, at least one, such as `kubernetes.io/metadata.name: models`. A workspace's
    namespace never counts."""

    pod_labels: fields.SomeLabels
    """Labels of the pods, at least one."""

    port: fields.Port
    """TCP port on which the pods listen; the URL may name a Service with another."""


class ApiKeySource(ApiModel):
    """One key of a Secret, for the gateways alone."""

    namespace: fields.DnsLabel
    """Namespace of the Secret. None of `allowed.secretNamespaces`: a workspace could name it as a secret of
    its own."""

    name: fields.DnsSubdomain
    """Name of the Secret."""

    key: fields.SecretKey
    """Key in the Secret's data."""


class SharedModel(ApiModel):
    """An OpenAI-compatible server, reached by exactly one of pods and cidrs."""

    model_config = ConfigDict(json_schema_extra=rules.SHARED_MODEL)

    name: fields.Name
    """Name by which workspaces and their users ask for it, unique in the class."""

    url: fields.BaseUrl
    """Base URL, http or https, such as `http://model.platform.svc.cluster.local:8000/v1`."""

    upstream_name: str | None = Field(default=None, min_length=1, max_length=256)
    """Name of the model in calls to the server. Default: `name`."""

    pods: ModelPods | None = None
    """The pods behind the URL, when they run in this cluster."""

    cidrs: tuple[fields.Cidr, ...] = Field(default=(), max_length=16, json_schema_extra=SET)
    """The ranges behind the URL, when it leads out of the cluster; on the URL's port only. The cluster's own
    ranges, loopback, link-local and metadata addresses stay closed."""

    api_key: ApiKeySource | None = None
    """Key that the gateway sends as a bearer token; users never see it. Default: none."""

    context_tokens: int = Field(default=8192, ge=256, le=10_000_000)
    """Size of the model's context window; a longer prompt is refused, not cut. Default: 8192."""

    max_output_tokens: int = Field(default=1024, ge=1, le=1_000_000)
    """Most tokens of one answer, less than contextTokens. Default: 1024."""

    embeddings: bool = False
    """True: it serves `/embeddings` as well."""

    cache_salt: bool = True
    """True: each call carries a `cache_salt` of its workspace, so that no prefix cache is shared between
    workspaces. False for servers that refuse the field; then acceptTimingLeak must be true."""

    accept_timing_leak: bool = False
    """True, and only with cacheSalt false: tenants may measure by answer times what others have asked."""


class GatewayStorage(ApiModel):
    """The gateway's volume: audit log, conversations and daily counters."""

    size: fields.Size = "1Gi"
    """Size of the volume; counts against `quota.storage`. It can grow, never shrink. Default: 1Gi."""

    storage_class_name: fields.DnsSubdomain | None = None
    """StorageClass of volumes made from now on. Default: the cluster's default StorageClass."""
