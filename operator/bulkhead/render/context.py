"""Facts about the cluster and the installation that render needs, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RenderContext", "SecretValue"]


class SecretValue:
    """A secret's bytes; prints as ***, so that no log, error or repr can carry them."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value

    def reveal(self) -> bytes:
        """The bytes, for a Secret's data and nothing else."""
        return self._value

    @override
    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretValue) and other._value == self._value

    @override
    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderContext:
    """Everything outside the spec that decides what a workspace looks like."""

    operator_namespace: str
    operator_service_account: str
    sandbox_image: str
    image_pull_policy: str = "IfNotPresent"
    cluster_cidrs: tuple[str, ...] = ()  # pod, Service and node ranges: always subtracted from egress
    dns_namespace: str = "kube-system"
    dns_pod_labels: Mapping[str, str] = field(default_factory=lambda: {"k8s-app": "kube-dns"})
    cluster_domain: str = "cluster.local"
    jwks: str = ""  # public keys of the workspace, canonical JSON
    service_ips: Mapping[str, str] = field(default_factory=dict)  # Service name -> ClusterIP, as far as known
    gateway_seed: SecretValue | None = None  # of the gateway's own keys, as the operator keeps it
    model_key: SecretValue | None = None  # the upstream API key of the chosen model, if it has one
    secret_values: Mapping[str, SecretValue] = field(default_factory=dict)  # spec.secrets[].name -> value
