"""The operator's settings: one typed record from BULKHEAD_* environment variables, unknown ones refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import orjson
import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from bulkhead import duration
from bulkhead.errors import InvalidValue

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Settings", "from_environment"]

_PREFIX: Final = "BULKHEAD_"
_SHORTEST_KEY_AGE_SECONDS: Final = 3600
_FILE: Final = "BULKHEAD_SETTINGS_FILE"
# Variables of this project's other programs, which may share an environment with a locally run operator.
_FOREIGN: Final = re.compile(
    r"BULKHEAD_(ASSUME_YES|AUDIT_LOG|CACHE|CLUSTER(_(ENGINE|MODE|PROCESS))?|CONTROL_PLANE|ENGINE|NODES"
    r"|POD_CIDR|SERVICE_CIDR|WORLD_.*)"
)


def _key_age(text: str) -> str:
    """At least an hour: an exchange of keys takes a quarter of one."""
    if duration.seconds(text) < _SHORTEST_KEY_AGE_SECONDS:
        raise ValueError("at least 1h")
    return text


def _json(value: object) -> object:
    """Lists and maps travel as JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise ValueError("not JSON") from error


Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=3600)]
Cidrs = Annotated[tuple[str, ...], BeforeValidator(_json)]
KeyAge = Annotated[str, AfterValidator(_key_age)]
Labels = Annotated[dict[str, str], BeforeValidator(_json)]


class Settings(BaseModel):
    """Everything that may differ between installations; each field is BULKHEAD_<FIELD> in the environment."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sandbox_image: str = Field(min_length=1)
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    operator_namespace: str = "bulkhead-system"
    operator_service_account: str = "bulkhead-operator"
    pod_name: str = "bulkhead-local"  # identity at the Lease
    cluster_cidrs: Cidrs = ()
    cluster_domain: str = "cluster.local"
    dns_namespace: str = "kube-system"
    dns_pod_labels: Labels = {"k8s-app": "kube-dns"}
    signing_key_max_age: KeyAge = "720h"  # older signing keys are exchanged, without a session being dropped
    issuer: bool = True  # keep a certificate for it
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    health_port: Port = 8081
    metrics_port: Port = 9464
    kubeconfig: Path | None = None  # outside of a cluster; in a pod the service account counts
    workers: int = Field(default=8, ge=1, le=64)
    reconcile_timeout_seconds: Seconds = 60.0
    sweep_seconds: Seconds = 600.0  # every workspace is compared at least so often
    lease_duration_seconds: Seconds = 15.0
    lease_renew_seconds: Seconds = 10.0
    lease_retry_seconds: Seconds = 2.0


def from_environment(environ: Mapping[str, str]) -> Settings:
    """The settings, or InvalidValue naming the variable, what was given and what is allowed.

    BULKHEAD_SETTINGS_FILE names a YAML file with the same keys in lower case; the environment wins over it.
    """
    given = {
        name.removeprefix(_PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(_PREFIX) and name != _FILE and not _FOREIGN.fullmatch(name)
    }
    try:
        return Settings.model_validate(_from_file(environ.get(_FILE)) | given)
    except ValidationError as error:
        raise _first_fault(error) from None


def _from_file(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        content = yaml.safe_load(Path(path).read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        raise InvalidValue(_FILE, path, f"a readable YAML file ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise InvalidValue(_FILE, path, "a YAML file with keys and values")
    return {str(key): value for key, value in content.items()}


def _first_fault(error: ValidationError) -> InvalidValue:
    fault: dict[str, Any] = dict(error.errors(include_url=False)[0])
    variable = _PREFIX + str(fault["loc"][0]).upper()
    if fault["type"] == "missing":
        return InvalidValue(variable, None, "it is required")
    if fault["type"] == "extra_forbidden":
        return InvalidValue(variable, fault["input"], "no such setting exists")
    return InvalidValue(variable, fault["input"], str(fault["msg"]))
