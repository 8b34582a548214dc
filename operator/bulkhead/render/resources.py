"""Requests and limits: every container states all six, so no quota and no LimitRange has to guess."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead import quantity

if TYPE_CHECKING:
    from bulkhead.api.workspace import ResourceList, Resources

__all__ = ["DEFAULT_LIMITS", "DEFAULT_REQUESTS", "NOTHING", "Room", "complete", "room_for"]

DEFAULT_REQUESTS: Final = {"cpu": "50m", "ephemeral-storage": "32Mi", "memory": "64Mi"}
DEFAULT_LIMITS: Final = {"cpu": "500m", "ephemeral-storage": "512Mi", "memory": "256Mi"}

Room = dict[str, int]  # cpu in millicores, memory and ephemeral-storage in bytes
NOTHING: Final[Room] = {"cpu": 0, "memory": 0, "ephemeral-storage": 0}


def complete(resources: Resources | None) -> dict[str, dict[str, str]]:
    """What is given, and defaults for the rest; a request is never above its limit."""
    given_limits = _given(resources.limits) if resources else {}
    given_requests = _given(resources.requests) if resources else {}
    limits: dict[str, str] = {}
    requests: dict[str, str] = {}
    for name in DEFAULT_LIMITS:
        request = given_requests.get(name)
        limit = given_limits.get(name) or _higher(DEFAULT_LIMITS[name], request)
        limits[name] = quantity.canonical(limit)
        requests[name] = quantity.canonical(request or _lower(DEFAULT_REQUESTS[name], limit))
    return {"limits": limits, "requests": requests}


def room_for(resources: Resources) -> Room:
    """The limits of one pod."""
    limits = complete(resources)["limits"]
    return {
        "cpu": quantity.millicores(limits["cpu"]),
        "memory": quantity.whole(limits["memory"]),
        "ephemeral-storage": quantity.whole(limits["ephemeral-storage"]),
    }


def _given(listed: ResourceList) -> dict[str, str]:
    values = {"cpu": listed.cpu, "memory": listed.memory, "ephemeral-storage": listed.ephemeral_storage}
    return {name: value for name, value in values.items() if value is not None}


def _higher(one: str, other: str | None) -> str:
    return one if other is None or quantity.exact(one) >= quantity.exact(other) else other


def _lower(one: str, other: str) -> str:
    return one if quantity.exact(one) <= quantity.exact(other) else other
