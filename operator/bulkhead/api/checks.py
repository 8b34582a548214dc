"""The rules across fields, checked again in Python: the API server may hold an older CRD than the operator.

Each check yields the violations of one rule; `spec_violations` is the list of all. What concerns the class
is in ceilings.py.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from bulkhead import duration, quantity
from bulkhead.api.conditions import Reason
from bulkhead.api.ranges import DENIED_CIDRS, covering_range
from bulkhead.api.violation import Violation
from bulkhead.names import HEALTH_PORT, is_workspace_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from bulkhead.api.workspace import EgressRule, Lifecycle, ResourceList, Resources, WorkspaceSpec

__all__ = ["egress_rules", "requests_over_limits", "spec_violations"]

_EVERYBODY: Final = (
    "one user or group: no system:anonymous and no system: group but system:serviceaccounts:<namespace>"
)


def spec_violations(
    name: str, created_at: datetime, spec: WorkspaceSpec, *, sandbox_image: str
) -> tuple[Violation, ...]:
    """Everything that keeps the spec from ever working, whatever its class; empty: nothing."""
    return (
        *_name_violations(name),
        *_lifecycle_violations(spec.lifecycle, created_at),
        *_duplicates(spec),
        *_unknown_secrets(spec),
        *_runtime_violations(spec),
        *_tool_violations(spec, sandbox_image),
        *(violation for path, rule in egress_rules(spec) for violation in _egress_violations(path, rule)),
        *_resource_violations(spec),
        *_access_violations(spec),
    )


def egress_rules(spec: WorkspaceSpec) -> Iterator[tuple[str, EgressRule]]:
    """Each egress rule with its path, the runtime's first, then the tools' in spec order."""
    for index, rule in enumerate(spec.egress):
        yield f"spec.egress[{index}]", rule
    for position, tool in enumerate(spec.tools):
        for index, rule in enumerate(tool.egress):
            yield f"spec.tools[{position}].egress[{index}]", rule


def _invalid(field: str, given: object, allowed: str) -> Violation:
    return Violation(Reason.INVALID_SPEC, field, str(given), allowed)


def _name_violations(name: str) -> Iterator[Violation]:
    if not is_workspace_name(name):
        yield _invalid(
            "metadata.name", name, "at most 40 lower-case letters, digits and hyphens, no hyphen at the ends"
        )


def _lifecycle_violations(lifecycle: Lifecycle, created_at: datetime) -> Iterator[Violation]:
    if lifecycle.expires_at is not None and lifecycle.expires_at <= created_at:
        created = created_at.isoformat().replace("+00:00", "Z")
        given = lifecycle.expires_at.isoformat().replace("+00:00", "Z")
        yield _invalid(
            "spec.lifecycle.expiresAt", given, f"a time after the workspace's creation at {created}"
        )
    ttl, warn = lifecycle.ttl, lifecycle.warn_before
    if ttl is not None and warn is not None and duration.seconds(warn) >= duration.seconds(ttl):
        yield _invalid("spec.lifecycle.warnBefore", warn, f"less than the ttl of {ttl}")


def _duplicates(spec: WorkspaceSpec) -> Iterator[Violation]:
    lists: list[tuple[str, Iterable[object]]] = [
        *((f"{path}.ports", rule.ports) for path, rule in egress_rules(spec)),
        ("spec.tools[].name", (tool.name for tool in spec.tools)),
        ("spec.secrets[].name", (secret.name for secret in spec.secrets)),
    ]
    if spec.runtime is not None:
        lists.append(("spec.runtime.env[].name", (variable.name for variable in spec.runtime.env)))
        lists.append(("spec.runtime.secrets", spec.runtime.secrets))
    for index, tool in enumerate(spec.tools):
        lists.append((f"spec.tools[{index}].env[].name", (variable.name for variable in tool.env)))
        lists.append((f"spec.tools[{index}].secrets", tool.secrets))
        lists.append((f"spec.tools[{index}].allow", tool.allow))
    for field, values in lists:
        for value, count in Counter(values).items():
            if count > 1:
                yield _invalid(field, value, f"each only once, and this is here {count} times")


def _unknown_secrets(spec: WorkspaceSpec) -> Iterator[Violation]:
    known = {secret.name for secret in spec.secrets}
    users = [("spec.runtime.secrets", spec.runtime.secrets)] if spec.runtime else []
    users += [(f"spec.tools[{index}].secrets", tool.secrets) for index, tool in enumerate(spec.tools)]
    for field, wanted in users:
        for name in wanted:
            if name not in known:
                yield _invalid(
                    field, name, f"names of spec.secrets: {', '.join(sorted(known)) or 'none is there'}"
                )


def _runtime_violations(spec: WorkspaceSpec) -> Iterator[Violation]:
    runtime = spec.runtime
    if runtime is None and spec.egress:
        yield _invalid(
            "spec.egress",
            f"{len(spec.egress)} rules",
            "none without spec.runtime; tools have an egress of their own",
        )
    if runtime is not None and runtime.storage is not None and runtime.replicas > 1:
        yield _invalid(
            "spec.runtime.replicas", runtime.replicas, "at most 1 when spec.runtime.storage is set"
        )


def _tool_violations(spec: WorkspaceSpec, sandbox_image: str) -> Iterator[Violation]:
    for index, tool in enumerate(spec.tools):
        if tool.image not in {None, sandbox_image}:
            continue
        if tool.port == HEALTH_PORT:
            yield _invalid(
                f"spec.tools[{index}].port",
                tool.port,
                "another port: this is the sandbox image's health port",
            )
        if tool.args and not tool.command:
            yield _invalid(
                f"spec.tools[{index}].args",
                " ".join(tool.args),
                "none without a command or an image: the sandbox image's tool-runner takes none",
            )


def _egress_violations(path: str, rule: EgressRule) -> Iterator[Violation]:
    if (rule.host is None) == (rule.cidr is None):
        given = "both" if rule.host else "neither"
        yield _invalid(path, given, "exactly one of host and cidr")
    denied = covering_range(rule.cidr, DENIED_CIDRS) if rule.cidr else None
    if denied is not None:
        yield _invalid(f"{path}.cidr", rule.cidr, f"ranges outside {denied}, which is always denied")


def _resource_violations(spec: WorkspaceSpec) -> Iterator[Violation]:
    owners: list[tuple[str, Resources | None]] = [
        (f"spec.tools[{index}].resources", tool.resources) for index, tool in enumerate(spec.tools)
    ]
    if spec.runtime is not None:
        owners.append(("spec.runtime.resources", spec.runtime.resources))
    for path, resources in owners:
        if resources is not None:
            yield from requests_over_limits(path, resources.requests, resources.limits)


def requests_over_limits(path: str, requests: ResourceList, limits: ResourceList) -> Iterator[Violation]:
    """Each request that is more than its own limit; the API server refuses such a pod."""
    for key, request, limit in (
        ("cpu", requests.cpu, limits.cpu),
        ("memory", requests.memory, limits.memory),
        ("ephemeralStorage", requests.ephemeral_storage, limits.ephemeral_storage),
    ):
        if request is not None and limit is not None and quantity.exact(request) > quantity.exact(limit):
            yield _invalid(f"{path}.requests.{key}", request, f"at most the limit of {limit}")


def _access_violations(spec: WorkspaceSpec) -> Iterator[Violation]:
    for index, rule in enumerate(spec.access):
        system_group = rule.kind == "Group" and rule.name.startswith("system:")
        one_namespace = rule.name.startswith("system:serviceaccounts:")
        if rule.name == "system:anonymous" or (system_group and not one_namespace):
            yield _invalid(f"spec.access[{index}].name", rule.name, _EVERYBODY)
