"""Quotas and resources, merged key by key and brought to the API server's spelling."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

from bulkhead import quantity
from bulkhead.api.base import ApiModel
from bulkhead.api.builtin import BUILTIN_QUOTA, BUILTIN_RATES, BUILTIN_RESOURCES, TENANT_FACTOR
from bulkhead.api.ceilings import QUOTA_KEYS, RATE_KEYS
from bulkhead.api.conditions import Reason
from bulkhead.api.gateway import Limits, Rates
from bulkhead.api.violation import Violation
from bulkhead.api.workspace import Quota, ResourceList, Resources

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["merged_limits", "merged_quota", "merged_resources", "quota_shortages", "unordered"]

_Model = TypeVar("_Model", bound=ApiModel)

_RESOURCE_KEYS = ("cpu", "memory", "ephemeral_storage")
PodSet = tuple[str, int, Resources]  # what, how many, what each may use


def merged_quota(wanted: Quota | None, class_default: Quota, ceilings: Quota) -> Quota:
    """Every key filled in and canonical; what comes from a default is lowered to the ceiling."""
    merged: dict[str, Any] = {}
    for key in QUOTA_KEYS:
        value = getattr(wanted, key, None)
        if value is None:
            default = getattr(class_default, key)
            value = default if default is not None else getattr(BUILTIN_QUOTA, key)
            ceiling = getattr(ceilings, key)
            if ceiling is not None:
                value = min(value, ceiling, key=_amount)
        merged[key] = value if isinstance(value, int) else quantity.canonical(value)
    # Not validated again: the API server spells 1000 cores `1k`, which the schema does not take as input.
    return Quota.model_construct(**merged)


def merged_limits(wanted: Limits, class_default: Limits, ceilings: Limits) -> Limits:
    """Every key filled in; what comes from a default is lowered to the ceiling.

    The tenant's default is so many times what a user may, whoever said that.
    """
    per_user = _merged_rates(wanted.per_user, class_default.per_user, BUILTIN_RATES, ceilings.per_user)
    many = Rates(**{key: getattr(per_user, key) * TENANT_FACTOR for key in RATE_KEYS})
    return Limits(
        per_user=per_user,
        tenant=_merged_rates(wanted.tenant, class_default.tenant, many, ceilings.tenant),
    )


def _merged_rates(wanted: Rates, class_default: Rates, default: Rates, ceilings: Rates) -> Rates:
    merged: dict[str, int] = {}
    for key in RATE_KEYS:
        asked, ceiling = getattr(wanted, key), getattr(ceilings, key)
        found = next(v for v in (asked, getattr(class_default, key), getattr(default, key)) if v is not None)
        merged[key] = found if asked is not None or ceiling is None else min(found, ceiling)
    return Rates(**merged)


def merged_resources(component: str, *layers: Resources | None) -> Resources:
    """Every key filled in and canonical; layers in order of precedence, the built-in table below them.

    Where a request exceeds its limit, the one from the higher layer stands and moves the other, as
    Kubernetes itself does with a limit and no request.
    """
    stack = [layer for layer in (*layers, BUILTIN_RESOURCES[component]) if layer is not None]
    requests: dict[str, Any] = {}
    limits: dict[str, Any] = {}
    for key in _RESOURCE_KEYS:
        request_layer, request = _first([layer.requests for layer in stack], key)
        limit_layer, limit = _first([layer.limits for layer in stack], key)
        if _amount(request) > _amount(limit):
            request, limit = (request, request) if request_layer < limit_layer else (limit, limit)
        requests[key] = quantity.canonical(request)
        limits[key] = quantity.canonical(limit)
    return Resources(
        requests=ResourceList.model_construct(**requests), limits=ResourceList.model_construct(**limits)
    )


def unordered(entries: Iterable[_Model]) -> tuple[_Model, ...]:
    """Each entry once, in an order of our own: an edit that only moves lines must not roll a pod."""
    return tuple({each.model_dump_json(): each for each in sorted(entries, key=_spelling)}.values())


def quota_shortages(quota: Quota, pods: Sequence[PodSet], volumes: Sequence[str]) -> tuple[Violation, ...]:
    """Where the quota is smaller than the sum of what the pods may use: they could never all run."""
    needs: dict[str, Fraction] = {
        key: sum((_amount(getattr(each.limits, key)) * count for _, count, each in pods), Fraction())
        for key in _RESOURCE_KEYS
    }
    needs["pods"] = Fraction(sum(count for _, count, _ in pods))
    needs["storage"] = sum(map(_amount, volumes), Fraction())
    what = ", ".join(f"{name} x{count}" if count > 1 else name for name, count, _ in pods if count)
    return tuple(
        Violation(
            Reason.INVALID_SPEC,
            f"spec.quota.{wire}",
            str(getattr(quota, key)),
            f"at least {_spelled(key, needs[key])}, the sum for {what if key != 'storage' else 'volumes'}",
        )
        for key, wire in QUOTA_KEYS.items()
        if _amount(getattr(quota, key)) < needs[key]
    )


def _spelling(entry: ApiModel) -> str:
    return entry.model_dump_json()


def _first(lists: Sequence[ResourceList], key: str) -> tuple[int, str]:
    return next(
        (index, value) for index, each in enumerate(lists) if (value := getattr(each, key)) is not None
    )


def _amount(value: str | int) -> Fraction:
    return quantity.exact(str(value))


def _spelled(key: str, amount: Fraction) -> str:
    if key == "cpu":
        return quantity.format_millicores(
            quantity.millicores(f"{amount.numerator * 1000 // amount.denominator}m")
        )
    return str(amount) if key == "pods" else quantity.format_bytes(-(-amount.numerator // amount.denominator))
