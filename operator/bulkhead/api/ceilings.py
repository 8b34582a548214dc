"""What a class lets its workspaces ask for: ceilings and allow-lists, as checks that yield violations."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from bulkhead import duration, quantity
from bulkhead.api.checks import egress_rules
from bulkhead.api.conditions import Reason
from bulkhead.api.ranges import DENIED_CIDRS, covering_range, denied_within
from bulkhead.api.syntax import host_admitted_by, image_admitted_by
from bulkhead.api.violation import Violation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from bulkhead.api.gateway import Limits
    from bulkhead.api.workspace import Lifecycle, Quota, WorkspaceSpec
    from bulkhead.api.workspace_class import WorkspaceClassSpec

__all__ = ["QUOTA_KEYS", "RATE_KEYS", "class_violations", "subtractions"]

# Field of Quota -> its name on the wire.
QUOTA_KEYS = {
    "cpu": "cpu",
    "memory": "memory",
    "pods": "pods",
    "storage": "storage",
    "ephemeral_storage": "ephemeralStorage",
}


# Field of Rates -> its name on the wire.
RATE_KEYS = {
    "requests_per_minute": "requestsPerMinute",
    "tokens_per_minute": "tokensPerMinute",
    "tokens_per_day": "tokensPerDay",
    "concurrent": "concurrent",
}


def class_violations(
    created_at: datetime, spec: WorkspaceSpec, cls: WorkspaceClassSpec, *, sandbox_image: str
) -> tuple[Violation, ...]:
    """Everything in the spec that goes beyond the class; empty: nothing."""
    return (
        *_lifecycle_violations(spec.lifecycle, cls.ceilings.ttl, created_at),
        *_quota_violations(spec.quota, cls.ceilings.quota),
        *_limit_violations(spec.limits, cls.ceilings.limits),
        *_tool_count_violations(spec, cls),
        *_model_violations(spec, cls),
        *_image_violations(spec, cls, sandbox_image),
        *_egress_violations(spec, cls),
        *_secret_violations(spec, cls),
    )


def subtractions(spec: WorkspaceSpec, class_denied: tuple[str, ...]) -> tuple[str, ...]:
    """Which parts of egress ranges stay closed although asked for; what is denied as a whole is refused."""
    return tuple(
        f"{path}.cidr: {rule.cidr} is open but for {_few(closed)}, denied always or by the class"
        for path, rule in egress_rules(spec)
        if rule.cidr is not None and (closed := denied_within(rule.cidr, (*DENIED_CIDRS, *class_denied)))
    )


def _exceeds(field: str, given: object, allowed: str) -> Violation:
    return Violation(Reason.EXCEEDS_CLASS, field, str(given), allowed)


def _lifecycle_violations(
    lifecycle: Lifecycle, ceiling: str | None, created_at: datetime
) -> Iterator[Violation]:
    if ceiling is None:
        return
    longest = duration.seconds(ceiling)
    if lifecycle.ttl is not None and duration.seconds(lifecycle.ttl) > longest:
        yield _exceeds("spec.lifecycle.ttl", lifecycle.ttl, f"at most {ceiling}, the class's ceiling")
    latest = created_at + timedelta(seconds=longest)
    # With a ttl of its own the workspace ends by that, whatever else it names: the earliest deadline wins.
    if lifecycle.ttl is None and lifecycle.expires_at is not None and lifecycle.expires_at > latest:
        given, until = (
            moment.isoformat().replace("+00:00", "Z") for moment in (lifecycle.expires_at, latest)
        )
        yield _exceeds(
            "spec.lifecycle.expiresAt",
            given,
            f"at most {until}, creation plus the class's ceiling of {ceiling}",
        )


def _quota_violations(wanted: Quota | None, ceilings: Quota) -> Iterator[Violation]:
    for key, wire in QUOTA_KEYS.items():
        value, ceiling = getattr(wanted, key, None), getattr(ceilings, key)
        if value is None or ceiling is None:
            continue
        if quantity.exact(str(value)) > quantity.exact(str(ceiling)):
            yield _exceeds(f"spec.quota.{wire}", value, f"at most {ceiling}, the class's ceiling")


def _limit_violations(wanted: Limits, ceilings: Limits) -> Iterator[Violation]:
    for scope, asked, highest in (
        ("perUser", wanted.per_user, ceilings.per_user),
        ("tenant", wanted.tenant, ceilings.tenant),
    ):
        for key, wire in RATE_KEYS.items():
            value, ceiling = getattr(asked, key), getattr(highest, key)
            if value is not None and ceiling is not None and value > ceiling:
                yield _exceeds(
                    f"spec.limits.{scope}.{wire}", value, f"at most {ceiling}, the class's ceiling"
                )


def _model_violations(spec: WorkspaceSpec, cls: WorkspaceClassSpec) -> Iterator[Violation]:
    offered = tuple(sorted(model.name for model in cls.models))
    if spec.model is not None and spec.model.name not in offered:
        yield _exceeds("spec.model.name", spec.model.name, _listed("the class's models", offered))


def _tool_count_violations(spec: WorkspaceSpec, cls: WorkspaceClassSpec) -> Iterator[Violation]:
    if len(spec.tools) > cls.ceilings.tools:
        yield _exceeds(
            "spec.tools", f"{len(spec.tools)} tools", f"at most {cls.ceilings.tools}, the class's ceiling"
        )


def _image_violations(
    spec: WorkspaceSpec, cls: WorkspaceClassSpec, sandbox_image: str
) -> Iterator[Violation]:
    images = [("spec.runtime.image", spec.runtime.image)] if spec.runtime else []
    images += [(f"spec.tools[{index}].image", tool.image) for index, tool in enumerate(spec.tools)]
    for field, image in images:
        if image is None or image == sandbox_image:
            continue
        if not image_admitted_by(image, cls.allowed.images):
            yield _exceeds(field, image, _listed("the class's allowed.images", cls.allowed.images))


def _egress_violations(spec: WorkspaceSpec, cls: WorkspaceClassSpec) -> Iterator[Violation]:
    for path, rule in egress_rules(spec):
        hosts, cidrs = cls.allowed.egress_hosts, cls.allowed.egress_cidrs
        if rule.host is not None and not host_admitted_by(rule.host, hosts):
            yield _exceeds(f"{path}.host", rule.host, _listed("the class's allowed.egressHosts", hosts))
        if rule.cidr is None:
            continue
        if covering_range(rule.cidr, cidrs) is None:
            yield _exceeds(
                f"{path}.cidr", rule.cidr, _listed("ranges inside the class's allowed.egressCIDRs", cidrs)
            )
        denied = covering_range(rule.cidr, cls.denied_cidrs)
        if denied is not None:
            yield _exceeds(
                f"{path}.cidr", rule.cidr, f"ranges outside {denied}, which the class's deniedCIDRs deny"
            )


def _secret_violations(spec: WorkspaceSpec, cls: WorkspaceClassSpec) -> Iterator[Violation]:
    namespaces = cls.allowed.secret_namespaces
    for index, secret in enumerate(spec.secrets):
        if secret.from_.namespace not in namespaces:
            yield _exceeds(
                f"spec.secrets[{index}].from.namespace",
                secret.from_.namespace,
                _listed("the class's allowed.secretNamespaces", namespaces),
            )


def _listed(what: str, entries: tuple[str, ...]) -> str:
    """A few entries are enough to see the pattern; a condition's message is bounded."""
    return f"{what}: {_few(entries) or 'none'}"


def _few(entries: tuple[str, ...]) -> str:
    return ", ".join(entries[:10]) + (f" and {len(entries) - 10} more" if len(entries) > 10 else "")
