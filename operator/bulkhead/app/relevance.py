"""Which changes of an object are news: most status updates of a starting pod or a counting quota are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Relevance"]


class Relevance:
    """Remembers a hash of what matters of each object of the noisy kinds; other kinds are always news."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}

    def is_news(self, event: str | None, body: Mapping[str, Any]) -> bool:
        """Whether anything that a reconcile looks at has changed since the last event about this object."""
        essence = _STATUS.get(body.get("kind", ""))
        if essence is None:
            return True
        identity = hash(body["metadata"].get("uid"))
        if event == "DELETED":
            self._seen.pop(identity, None)
            return True
        fingerprint = _fingerprint(body, essence)
        before = self._seen.get(identity)
        self._seen[identity] = fingerprint
        return before != fingerprint


def _fingerprint(body: Mapping[str, Any], essence: Callable[[Mapping[str, Any]], object]) -> int:
    metadata = body["metadata"]
    parts = (
        metadata.get("labels"),
        metadata.get("annotations"),
        metadata.get("finalizers"),
        metadata.get("deletionTimestamp"),
        body.get("spec"),
        essence(body.get("status") or {}),
    )
    return hash(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS))


def _conditions(status: Mapping[str, Any]) -> list[object]:
    """Without times: a heartbeat is not a change."""
    return [
        [condition.get(part) for part in ("type", "status", "reason", "message")]
        for condition in status.get("conditions") or ()
    ]


def _pod(status: Mapping[str, Any]) -> object:
    containers = [
        [state.get("ready"), _reasons(state.get("state") or {})]
        for part in ("initContainerStatuses", "containerStatuses")
        for state in status.get(part) or ()
    ]
    return [status.get("phase"), _conditions(status), containers]


def _reasons(state: Mapping[str, Any]) -> object:
    return [[name, (detail or {}).get("reason")] for name, detail in state.items()]


def _deployment(status: Mapping[str, Any]) -> object:
    counts = ("observedGeneration", "replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
    return [[status.get(count) for count in counts], _conditions(status)]


def _quota(status: Mapping[str, Any]) -> object:
    return status.get("hard")  # what is used changes with every object and is never looked at


def _namespace(status: Mapping[str, Any]) -> object:
    return [status.get("phase"), _conditions(status)]


_STATUS: Final = {"Pod": _pod, "Deployment": _deployment, "ResourceQuota": _quota, "Namespace": _namespace}
