"""The rules of a class, across its fields: checked by CEL too, and again here for an older CRD."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bulkhead.api.checks import requests_over_limits
from bulkhead.api.conditions import Reason
from bulkhead.api.ranges import NEVER_A_SERVER, covering_range
from bulkhead.api.violation import Violation
from bulkhead.api.workspace_class import IsolationLevel, TaintEffect, TolerationOperator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bulkhead.api.gateway import SharedModel
    from bulkhead.api.workspace_class import ClassResources, IsolationSpec, Toleration, WorkspaceClassSpec

__all__ = ["class_spec_violations"]


def class_spec_violations(spec: WorkspaceClassSpec) -> tuple[Violation, ...]:
    """Everything that keeps the class from ever working; empty: nothing."""
    return (
        *_isolation_violations(spec.isolation),
        *_resource_violations(spec.defaults.resources),
        *_model_violations(spec),
    )


def _isolation_violations(isolation: IsolationSpec) -> Iterator[Violation]:
    field, given = "spec.isolation.runtimeClassName", isolation.runtime_class_name
    is_sandboxed = isolation.level is IsolationLevel.SANDBOXED
    if is_sandboxed and given is None:
        yield _invalid(field, "nothing", "the name of a RuntimeClass; level Sandboxed requires one")
    if not is_sandboxed and given is not None:
        yield _invalid(field, given, f"none at level {isolation.level}; it goes with level Sandboxed only")
    for index, toleration in enumerate(isolation.tolerations):
        yield from _toleration_violations(f"spec.isolation.tolerations[{index}]", toleration)


def _toleration_violations(path: str, toleration: Toleration) -> Iterator[Violation]:
    if toleration.operator is TolerationOperator.EXISTS and toleration.value:
        yield _invalid(f"{path}.value", toleration.value, "none when operator is Exists")
    if toleration.operator is TolerationOperator.EQUAL and not toleration.key:
        yield _invalid(f"{path}.key", "nothing", "the key of a taint, or operator Exists for every taint")
    if toleration.toleration_seconds is not None and toleration.effect is not TaintEffect.NO_EXECUTE:
        yield _invalid(
            f"{path}.tolerationSeconds", toleration.toleration_seconds, "none without effect NoExecute"
        )


def _resource_violations(resources: ClassResources) -> Iterator[Violation]:
    for component in ("gateway", "egress", "runtime", "tool"):
        amounts = getattr(resources, component)
        if amounts is not None:
            path = f"spec.defaults.resources.{component}"
            yield from requests_over_limits(path, amounts.requests, amounts.limits)


def _model_violations(spec: WorkspaceClassSpec) -> Iterator[Violation]:
    for name, count in Counter(model.name for model in spec.models).items():
        if count > 1:
            yield _invalid("spec.models[].name", name, f"each only once, and this is here {count} times")
    for index, model in enumerate(spec.models):
        yield from _one_model(f"spec.models[{index}]", model)
        namespace = model.api_key.namespace if model.api_key else ""
        if namespace in spec.allowed.secret_namespaces:
            yield _invalid(
                f"spec.models[{index}].apiKey.namespace",
                namespace,
                "none of allowed.secretNamespaces: workspaces could name the key as a secret of their own",
            )


def _one_model(path: str, model: SharedModel) -> Iterator[Violation]:
    if (model.pods is None) == (not model.cidrs):
        yield _invalid(path, "both" if model.cidrs else "neither", "exactly one of pods and cidrs")
    for cidr in model.cidrs:
        never = covering_range(cidr, NEVER_A_SERVER)
        if never is not None:
            yield _invalid(f"{path}.cidrs", cidr, f"ranges outside {never}, where no server may be")
    if model.max_output_tokens >= model.context_tokens:
        yield _invalid(
            f"{path}.maxOutputTokens",
            model.max_output_tokens,
            f"less than the contextTokens of {model.context_tokens}",
        )
    if model.cache_salt is model.accept_timing_leak:
        given = str(model.accept_timing_leak).lower()
        yield _invalid(f"{path}.acceptTimingLeak", given, "true when cacheSalt is false, and only then")


def _invalid(field: str, given: object, allowed: str) -> Violation:
    return Violation(Reason.INVALID_SPEC, field, str(given), allowed)
