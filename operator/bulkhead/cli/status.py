"""`bulkhead status`: the JSON report, built from live objects. The text on the screen is a view of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from bulkhead import names
from bulkhead.api.status import ConditionType
from bulkhead.cli.problems import Refused, from_kube
from bulkhead.errors import Forbidden, KubeError, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bulkhead.kube.client import KubeClient

__all__ = ["exit_code", "list_report", "one_report", "report"]

Json = dict[str, Any]

_EVENTS: Final = 10
_ORDER: Final = {kind.value: index for index, kind in enumerate(ConditionType)}


async def report(client: KubeClient, name: str | None, *, now: datetime) -> Json:
    """What the API server says of one workspace, or of all; raises Refused or CannotTell."""
    try:
        if name is None:
            return list_report(await client.list(names.WORKSPACE_KIND), now=now)
        workspace = await client.get(names.WORKSPACE_KIND, name)
    except NotFound as error:
        if name is None:
            raise from_kube(error) from error
        raise Refused(f"there is no workspace {name}; `bulkhead status` lists them") from error
    except KubeError as error:
        raise from_kube(error) from error
    try:
        # Events about cluster-scoped objects live in the namespace default.
        events = await client.list("Event", "default", field_selector=f"regarding.name={name}")
    except Forbidden:
        return one_report(workspace, None, now=now)
    except KubeError as error:
        raise from_kube(error) from error
    return one_report(workspace, events, now=now)


def list_report(workspaces: Iterable[Json], *, now: datetime) -> Json:
    """Every workspace, sorted by name."""
    rows = sorted((_summary(workspace, now) for workspace in workspaces), key=lambda row: str(row["name"]))
    return {"at": _text(now), "workspaces": rows}


def one_report(workspace: Json, events: Sequence[Json] | None, *, now: datetime) -> Json:
    """One workspace with its conditions and its latest events; `events` None: they may not be read."""
    conditions = (workspace.get("status") or {}).get("conditions") or ()
    layers = [
        {key: condition.get(key) for key in ("type", "status", "reason", "message", "lastTransitionTime")}
        for condition in sorted(conditions, key=lambda each: _ORDER.get(each.get("type"), len(_ORDER)))
    ]
    return {
        "at": _text(now),
        "workspace": _summary(workspace, now) | {"conditions": layers},
        "events": None if events is None else _latest(events, workspace["metadata"]["uid"], now),
    }


def exit_code(shown: Json) -> int:
    """0 if everything shown is Ready or suspended, else 1."""
    rows = shown.get("workspaces", [shown.get("workspace")])
    return (
        0 if all(row["ready"] == "True" or (row["suspended"] and not row["deleting"]) for row in rows) else 1
    )


def _summary(workspace: Json, now: datetime) -> Json:
    metadata, spec, status = workspace["metadata"], workspace.get("spec") or {}, workspace.get("status") or {}
    ready = _condition(status, ConditionType.READY)
    stalled = _condition(status, ConditionType.STALLED)
    cause = stalled if stalled.get("status") == "True" else ready
    expires = _time(status.get("expiresAt"))
    activity = _time(status.get("lastActivity"))
    return {
        "name": metadata["name"],
        "uid": metadata["uid"],
        "class": spec.get("className"),
        "ready": ready.get("status") or "Unknown",
        "reason": cause.get("reason"),
        "message": cause.get("message"),
        "stalled": stalled.get("status") == "True",
        "suspended": bool((spec.get("lifecycle") or {}).get("suspended")),
        "deleting": bool(metadata.get("deletionTimestamp")),
        "generation": metadata.get("generation"),
        "observedGeneration": status.get("observedGeneration"),
        "agents": status.get("agents") or None,
        "namespace": (status.get("namespace") or {}).get("name"),
        "gatewayURL": (status.get("gateway") or {}).get("url"),
        "expiresAt": _text(expires),
        "expiresInSeconds": _whole(expires, now),
        "lastActivity": _text(activity),
        "idleSeconds": _ago(activity, now),
        "ageSeconds": _ago(_time(metadata.get("creationTimestamp")), now),
    }


def _latest(events: Sequence[Json], uid: str, now: datetime) -> list[Json]:
    """The newest events about this very incarnation, newest first."""
    ours = [event for event in events if (event.get("regarding") or {}).get("uid") == uid]
    ours.sort(key=lambda event: (_when(event), event["metadata"]["name"]), reverse=True)
    return [
        {
            "at": _text(_when(event)),
            "ageSeconds": _ago(_when(event), now),
            "type": event.get("type"),
            "reason": event.get("reason"),
            "note": event.get("note"),
            "count": (event.get("series") or {}).get("count") or event.get("deprecatedCount") or 1,
        }
        for event in ours[:_EVENTS]
    ]


def _when(event: Json) -> datetime:
    for moment in (
        (event.get("series") or {}).get("lastObservedTime"),
        event.get("deprecatedLastTimestamp"),
        event.get("eventTime"),
        event["metadata"].get("creationTimestamp"),
    ):
        if (found := _time(moment)) is not None:
            return found
    return datetime.min.replace(tzinfo=UTC)


def _condition(status: Json, kind: ConditionType) -> Json:
    found: Json = next((each for each in status.get("conditions") or () if each.get("type") == kind), {})
    return found


def _time(text: object) -> datetime | None:
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _whole(moment: datetime | None, now: datetime) -> int | None:
    return None if moment is None else int((moment - now).total_seconds())


def _ago(moment: datetime | None, now: datetime) -> int | None:
    return None if moment is None else max(0, int((now - moment).total_seconds()))
