"""The rules that no OpenAPI keyword can express, in CEL, for the API server.

What the pydantic validators in fields.py and the checks in checks.py refuse, these refuse at admission; the
two are held together by the table of bad specs in tests. Optional fields need has(); a field with a default
does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from bulkhead.api import syntax
from bulkhead.api.ranges import DENIED_CIDRS, NEVER_A_SERVER

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic.config import JsonDict

__all__ = [
    "ACCESS_RULE",
    "CIDR",
    "CLASS_ROOT",
    "CLASS_SPEC",
    "EGRESS_RULE",
    "ENV_NAME",
    "GATEWAY_CLIENT",
    "HOST",
    "IMAGE_ALLOWANCE",
    "ISOLATION",
    "LABEL_MAP",
    "LIFECYCLE",
    "POSITIVE_DURATION",
    "POSITIVE_QUANTITY",
    "RESERVED_ENV",
    "RESOURCES",
    "RUNTIME",
    "SHARED_MODEL",
    "TOLERATION",
    "TOOL",
    "WORKSPACE_ROOT",
    "WORKSPACE_SPEC",
    "Rule",
]


class Rule(NamedTuple):
    """An expression that must be true, and what to say when it is not."""

    rule: str
    message: str


def _rules(*rules: Rule) -> JsonDict:
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in rules]}


def _matches(wanted: syntax.Syntax) -> JsonDict:
    """The pattern decides, and of its faults the first one is told; no OpenAPI pattern, which says less."""
    told = "".join(f"self.matches(r'{found}') ? '{allowed}' : " for found, allowed in wanted.faults)
    return {
        "x-kubernetes-validations": [
            {
                "rule": f"self.matches(r'{wanted.pattern}')",
                "message": f"allowed: {wanted.meaning}",  # in the pages, and should the next one fail
                "messageExpression": f"'allowed: ' + ({told}'{wanted.meaning}')",
            }
        ]
    }


def _request_within_limit(key: str) -> Rule:
    request, limit = f"self.requests.{key}", f"self.limits.{key}"
    return Rule(
        f"!has(self.requests) || !has({request}) || !has(self.limits) || !has({limit}) || "
        f"quantity(string({request})).compareTo(quantity(string({limit}))) <= 0",
        f"requests.{key} must be at most limits.{key}",
    )


RESERVED_ENV: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")

POSITIVE_QUANTITY: Final[JsonDict] = {
    "x-kubernetes-int-or-string": True,
    **_rules(
        Rule(
            "sign(quantity(string(self))) > 0",
            "must be more than zero",
        )
    ),
}
POSITIVE_DURATION: Final = _rules(
    Rule("duration(self) > duration('0s')", "must be longer than zero seconds"),
)
CIDR: Final = _rules(
    Rule(
        "isCIDR(self) && cidr(self) == cidr(self).masked()",
        "must be an IPv4 or IPv6 range with no host bits set, such as 203.0.113.0/24",
    )
)
HOST: Final = _matches(syntax.HOST)
IMAGE_ALLOWANCE: Final = _matches(syntax.IMAGE_ALLOWANCE)
ENV_NAME: Final = _rules(
    Rule(
        "!self.startsWith('BULKHEAD_') && "
        f"!(self.upperAscii() in [{', '.join(repr(name) for name in RESERVED_ENV)}])",
        "HTTP_PROXY, HTTPS_PROXY, NO_PROXY and BULKHEAD_* are set by Bulkhead",
    )
)
LABEL_MAP: Final = _rules(
    Rule(
        (
            "self.all(key, !format.qualifiedName().validate(key).hasValue() && "
            "!format.labelValue().validate(self[key]).hasValue())"
        ),
        "must be label keys and values",
    )
)

LIFECYCLE: Final = _rules(
    Rule(
        "!has(self.ttl) || !has(self.warnBefore) || duration(self.warnBefore) < duration(self.ttl)",
        "warnBefore must be shorter than ttl",
    )
)
RESOURCES: Final = _rules(
    _request_within_limit("cpu"),
    _request_within_limit("memory"),
    _request_within_limit("ephemeralStorage"),
)


def _listed(cidrs: Iterable[str]) -> str:
    return ", ".join(f"'{cidr}'" for cidr in cidrs if not cidr.startswith("::ffff:"))  # isCIDR refuses


EGRESS_RULE: Final = _rules(
    Rule("has(self.host) != has(self.cidr)", "exactly one of host and cidr must be set"),
    Rule(
        "!has(self.cidr) || !isCIDR(self.cidr) || "
        f"![{_listed(DENIED_CIDRS)}].exists(range, cidr(range).containsCIDR(self.cidr))",
        (
            "cidr must lie outside the ranges that are always denied: private, loopback, link-local, "
            "multicast, metadata and reserved ones"
        ),
    ),
)
RUNTIME: Final = _rules(
    Rule("!has(self.storage) || self.replicas <= 1", "replicas must be at most 1 when storage is set"),
)
TOOL: Final = _rules(
    Rule(
        "has(self.image) || !has(self.port) || self.port != 8081",
        "port 8081 is the sandbox image's health port; use another",
    ),
    Rule(
        (
            "has(self.image) || (has(self.command) && self.command.size() > 0) || "
            "!has(self.args) || self.args.size() == 0"
        ),
        "args need a command or an image: the sandbox image's tool-runner takes none",
    ),
)
ACCESS_RULE: Final = _rules(
    Rule(
        (
            "self.name != 'system:anonymous' && (self.kind != 'Group' || !self.name.startsWith('system:')"
            " || self.name.startsWith('system:serviceaccounts:'))"
        ),
        (
            "name must not stand for everybody: no system:anonymous and no system: group, except "
            "system:serviceaccounts:<namespace>"
        ),
    )
)
WORKSPACE_SPEC: Final = _rules(
    Rule(
        (
            "has(self.tenantID) == has(oldSelf.tenantID) && (!has(self.tenantID) || self.tenantID == "
            "oldSelf.tenantID)"
        ),
        "tenantID cannot be changed, added or removed after creation",
    ),
    Rule("self.sessionEpoch >= oldSelf.sessionEpoch", "sessionEpoch can only be raised"),
    Rule(
        "!has(self.egress) || self.egress.size() == 0 || has(self.runtime)",
        "egress is for the runtime, and runtime is not set; tools have an egress of their own",
    ),
    Rule(
        (
            "!has(self.tools) || self.tools.all(tool, !has(tool.secrets) || tool.secrets.all(name, "
            "has(self.secrets) && self.secrets.exists(secret, secret.name == name)))"
        ),
        "tools[].secrets must name entries of secrets",
    ),
    Rule(
        (
            "!has(self.runtime) || !has(self.runtime.secrets) || self.runtime.secrets.all(name, "
            "has(self.secrets) && self.secrets.exists(secret, secret.name == name))"
        ),
        "runtime.secrets must name entries of secrets",
    ),
)
TOLERATION: Final = _rules(
    Rule(
        "!has(self.operator) || self.operator != 'Exists' || !has(self.value) || self.value == ''",
        "value must be empty when operator is Exists",
    ),
    Rule(
        "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
        "operator must be Exists when key is empty",
    ),
    Rule(
        "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        "tolerationSeconds goes with effect NoExecute only",
    ),
)
ISOLATION: Final = _rules(
    Rule(
        "self.level != 'Sandboxed' || has(self.runtimeClassName)",
        "runtimeClassName is required at level Sandboxed",
    ),
    Rule(
        "self.level == 'Sandboxed' || !has(self.runtimeClassName)",
        "runtimeClassName goes with level Sandboxed only",
    ),
)
# A list's items have no defaults filled in.
SHARED_MODEL: Final = _rules(
    Rule(
        "has(self.pods) != (has(self.cidrs) && self.cidrs.size() > 0)",
        "exactly one of pods and cidrs must be set",
    ),
    Rule(
        "!has(self.cidrs) || !self.cidrs.exists(given, isCIDR(given) && "
        f"[{_listed(NEVER_A_SERVER)}].exists(range, cidr(range).containsCIDR(given)))",
        "cidrs must lie outside loopback, link-local, multicast, metadata and reserved ranges",
    ),
    Rule(
        "(has(self.maxOutputTokens) ? self.maxOutputTokens : 1024)"
        " < (has(self.contextTokens) ? self.contextTokens : 8192)",
        "maxOutputTokens must be less than contextTokens",
    ),
    Rule(
        "(has(self.cacheSalt) && !self.cacheSalt) == (has(self.acceptTimingLeak) && self.acceptTimingLeak)",
        "acceptTimingLeak must be true when cacheSalt is false, and only then",
    ),
)
CLASS_SPEC: Final = _rules(
    Rule(
        (
            "!has(self.models) || !has(self.allowed) || !has(self.allowed.secretNamespaces) || "
            "self.models.all(model, !has(model.apiKey) || "
            "!(model.apiKey.namespace in self.allowed.secretNamespaces))"
        ),
        (
            "models[].apiKey.namespace must not be one of allowed.secretNamespaces: workspaces could name the"
            " key as a secret of their own"
        ),
    )
)
GATEWAY_CLIENT: Final = _rules(
    Rule(
        "self.namespaceLabels.size() > 0",
        "namespaceLabels must not be empty: it would admit every namespace",
    )
)

WORKSPACE_ROOT: Final = _rules(
    Rule(
        "self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        (
            "metadata.name must be at most 40 lower-case letters, digits and hyphens, starting and ending"
            " with a letter or digit"
        ),
    )
)
CLASS_ROOT: Final = _rules(
    Rule(
        "self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        (
            "metadata.name must be at most 63 lower-case letters, digits and hyphens, starting and ending"
            " with a letter or digit"
        ),
    )
)
