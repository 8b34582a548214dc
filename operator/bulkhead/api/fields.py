"""The scalar types of the API: each one's syntax, bounds and meaning, in one place.

Patterns are read by three engines (RE2 in the API server, Rust in pydantic, people), so they use no
look-around and are anchored. Where a pattern cannot say it, a CEL rule tells the API server and a validator
tells pydantic.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, BeforeValidator, Field

from bulkhead import duration, quantity
from bulkhead.api import cel
from bulkhead.api.ranges import canonical_cidr
from bulkhead.api.syntax import IMAGE_ALLOWANCE, host_fault
from bulkhead.errors import InvalidValue

__all__ = [
    "PATTERN_MEANINGS",
    "BaseUrl",
    "Cidr",
    "ClassName",
    "Cpu",
    "DnsLabel",
    "DnsSubdomain",
    "Duration",
    "EnvName",
    "HostPattern",
    "Image",
    "ImageAllowance",
    "LabelMap",
    "LabelValue",
    "McpToolName",
    "Name",
    "Port",
    "SecretKey",
    "Size",
    "SomeLabels",
    "TaintKey",
    "TenantId",
    "UrlPath",
    "WarningTime",
]

_LABEL_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SUBDOMAIN_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_TENANT_PATTERN: Final = r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$"
_LABEL_VALUE_PATTERN: Final = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
_TAINT_KEY_PATTERN: Final = (
    r"^(([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$"
)
_CPU_PATTERN: Final = r"^([0-9]{1,6}(\.[0-9]{1,3})?|[0-9]{1,9}m)$"
_SIZE_PATTERN: Final = r"^[0-9]{1,15}(\.[0-9]{1,3})?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"
_ENV_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
_KEY_PATTERN: Final = r"^[-._a-zA-Z0-9]+$"
_PATH_PATTERN: Final = r"^/[-A-Za-z0-9._~/]*$"
_MCP_TOOL_PATTERN: Final = r"^[-A-Za-z0-9_.]+$"
# No user, query or fragment; the port is 1 to 65535.
_BASE_URL_PATTERN: Final = (
    r"^https?://([a-z0-9]([-a-z0-9.]*[a-z0-9])?|\[[0-9a-f:.]+\])"
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
    r"(/[-A-Za-z0-9._~]+)*$"
)
# github.com/distribution/reference: [host[:port]/]path[:tag][@digest]
_IMAGE_PATTERN: Final = (
    r"^([A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:[0-9]{1,5})?/)?"
    r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127})?(@sha256:[a-f0-9]{64})?$"
)

# What to tell a person instead of a regular expression.
PATTERN_MEANINGS: Final[dict[str, str]] = {
    _LABEL_PATTERN: "lower-case letters, digits and hyphens, starting and ending with a letter or digit",
    _SUBDOMAIN_PATTERN: "lower-case letters, digits, hyphens and dots, as in a DNS name",
    _TENANT_PATTERN: "letters, digits, hyphens, underscores and dots, a letter or digit at both ends",
    _LABEL_VALUE_PATTERN: "a label value: letters, digits, hyphens, underscores and dots",
    _TAINT_KEY_PATTERN: "a label key such as example.com/pool",
    _CPU_PATTERN: "cores with at most three decimals, or thousandths of a core: 2, 0.5 or 500m",
    _SIZE_PATTERN: "a number of bytes with a suffix k, M, G, T, P, Ki, Mi, Gi, Ti, Pi or none: 512Mi or 2Gi",
    _ENV_PATTERN: "letters, digits and underscores, not starting with a digit",
    _KEY_PATTERN: "letters, digits, hyphens, underscores and dots",
    _PATH_PATTERN: "a path that starts with / and has no query: /mcp",
    _MCP_TOOL_PATTERN: "letters, digits, hyphens, underscores and dots",
    _BASE_URL_PATTERN: "http:// or https://, a lower-case host, maybe a port and a path, nothing behind",
    _IMAGE_PATTERN: "an image reference such as registry.example/agents/search:1.2, or with @sha256:<digest>",
    duration.DURATION_PATTERN: "hours, minutes and seconds in this order: 8h, 1h30m or 90s (a week is 168h)",
}


def _as_text(value: object) -> object:
    """`cpu: 2` and `cpu: "2"` mean the same, as in Kubernetes' own kinds; a bool is no number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _positive_quantity(text: str) -> str:
    if quantity.exact(text) <= 0:
        raise ValueError("more than zero")  # the container runtimes read a limit of 0 as no limit at all
    return text


def _positive_duration(text: str) -> str:
    if duration.seconds(text) <= 0:
        raise ValueError("longer than zero seconds")
    return text


def _cidr(text: str) -> str:
    try:
        return canonical_cidr(text)
    except InvalidValue as error:
        raise ValueError(error.allowed) from None


def _host(text: str) -> str:
    return _faultless(text, host_fault(text))


def _image_allowance(text: str) -> str:
    return _faultless(text, IMAGE_ALLOWANCE.fault(text))


def _faultless(text: str, fault: str | None) -> str:
    if fault is not None:
        raise ValueError(fault)
    return text


def _unreserved_env(name: str) -> str:
    if name.startswith("BULKHEAD_") or name.upper() in cel.RESERVED_ENV:
        raise ValueError("any name but HTTP_PROXY, HTTPS_PROXY, NO_PROXY and BULKHEAD_*, which Bulkhead sets")
    return name


_LABEL_KEY: Final = re.compile(
    rf"(?:(?=[^/]{{1,253}}/){_SUBDOMAIN_PATTERN[1:-1]}/)?(?=[^/]{{1,63}}$){_TENANT_PATTERN[1:-1]}"
)
_LABEL_VALUE: Final = re.compile(rf"(?:{_TENANT_PATTERN[1:-1]})?")


def _labels(labels: dict[str, str]) -> dict[str, str]:
    """Sorted: in which order they were written must not show anywhere."""
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(key):
            raise ValueError(f"a label key such as kubernetes.io/metadata.name; {key!r} is none")
        if not _LABEL_VALUE.fullmatch(value):
            raise ValueError(
                f"a label value of letters, digits, hyphens, underscores and dots; {value!r} is none"
            )
    return dict(sorted(labels.items()))


Name = Annotated[str, Field(min_length=1, max_length=30, pattern=_LABEL_PATTERN)]
DnsLabel = Annotated[str, Field(min_length=1, max_length=63, pattern=_LABEL_PATTERN)]
ClassName = DnsLabel
DnsSubdomain = Annotated[str, Field(min_length=1, max_length=253, pattern=_SUBDOMAIN_PATTERN)]
TenantId = Annotated[str, Field(min_length=1, max_length=63, pattern=_TENANT_PATTERN)]
SecretKey = Annotated[str, Field(min_length=1, max_length=253, pattern=_KEY_PATTERN)]
LabelValue = Annotated[str, Field(max_length=63, pattern=_LABEL_VALUE_PATTERN)]
TaintKey = Annotated[str, Field(max_length=317, pattern=_TAINT_KEY_PATTERN)]
BaseUrl = Annotated[str, Field(max_length=512, pattern=_BASE_URL_PATTERN)]
UrlPath = Annotated[str, Field(max_length=128, pattern=_PATH_PATTERN)]
McpToolName = Annotated[str, Field(min_length=1, max_length=128, pattern=_MCP_TOOL_PATTERN)]
Port = Annotated[int, Field(ge=1, le=65535)]
Image = Annotated[str, Field(min_length=1, max_length=512, pattern=_IMAGE_PATTERN)]
ImageAllowance = Annotated[
    str, Field(max_length=512, json_schema_extra=cel.IMAGE_ALLOWANCE), AfterValidator(_image_allowance)
]
HostPattern = Annotated[str, Field(max_length=253, json_schema_extra=cel.HOST), AfterValidator(_host)]

Cpu = Annotated[
    str,
    Field(max_length=10, pattern=_CPU_PATTERN, json_schema_extra=cel.POSITIVE_QUANTITY),
    AfterValidator(_positive_quantity),
    BeforeValidator(_as_text),  # last: pydantic drops the pattern from the schema behind a function
]
Size = Annotated[
    str,
    Field(max_length=20, pattern=_SIZE_PATTERN, json_schema_extra=cel.POSITIVE_QUANTITY),
    AfterValidator(_positive_quantity),
    BeforeValidator(_as_text),  # last: pydantic drops the pattern from the schema behind a function
]
Duration = Annotated[
    str,
    Field(
        min_length=2,
        max_length=20,
        pattern=duration.DURATION_PATTERN,
        json_schema_extra=cel.POSITIVE_DURATION,
    ),
    AfterValidator(_positive_duration),
]
WarningTime = Annotated[str, Field(min_length=2, max_length=20, pattern=duration.DURATION_PATTERN)]
Cidr = Annotated[str, Field(max_length=43, json_schema_extra=cel.CIDR), AfterValidator(_cidr)]
EnvName = Annotated[
    str,
    Field(min_length=1, max_length=128, pattern=_ENV_PATTERN, json_schema_extra=cel.ENV_NAME),
    AfterValidator(_unreserved_env),
]
_Labels = dict[str, Annotated[str, Field(max_length=63)]]
LabelMap = Annotated[_Labels, Field(max_length=16, json_schema_extra=cel.LABEL_MAP), AfterValidator(_labels)]
SomeLabels = Annotated[  # an empty selector would mean everything
    _Labels,
    Field(min_length=1, max_length=16, json_schema_extra=cel.LABEL_MAP),
    AfterValidator(_labels),
]
