"""Why a Deployment's pods do not serve, from its own status and from theirs.

Never quotes what a container wrote (`terminated.message`): tenant output may hold secrets, status must not.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.api.conditions import Reason
from bulkhead.plan.findings import Problem
from bulkhead.plan.ownership import carries_our_label, is_going

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from bulkhead.plan.observed import Manifest

__all__ = ["available_pods", "guard_patience_seconds", "pods_of", "serving_gateways", "why_unavailable"]

_PULL: Final = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
    }
)
# Every try has another name; with it the message would never come to rest.
_POD_NAME: Final = re.compile(r'^pods "[^"]*" is forbidden: ')
_GUARD_PATIENCE: Final = timedelta(seconds=5)  # a policy engine needs well under a second, a busy one more
_CONFIG: Final = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})


def available_pods(deployment: Manifest | None) -> int:
    """Pods that serve, by the Deployment's own count."""
    status = (deployment or {}).get("status") or {}
    return int(status.get("availableReplicas", 0))


def pods_of(deployment: Manifest, pods: Sequence[Manifest]) -> tuple[Manifest, ...]:
    """The Deployment's pods that are meant to stay, by its selector."""
    wanted = deployment["spec"]["selector"]["matchLabels"].items()
    return tuple(
        pod for pod in pods if not is_going(pod) and wanted <= (pod["metadata"].get("labels") or {}).items()
    )


def serving_gateways(pods: Iterable[Manifest], workspace_uid: str) -> tuple[Manifest, ...]:
    """The workspace's gateways that may serve somebody now: Ready, or draining what they have begun."""
    return tuple(
        pod
        for pod in pods
        if carries_our_label(pod, workspace_uid)
        and (pod["metadata"].get("labels") or {}).get(names.COMPONENT_LABEL) == names.GATEWAY
        and (pod.get("status") or {}).get("podIP")
        and (is_going(pod) or _is_ready(pod))
    )


def _is_ready(pod: Manifest) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def why_unavailable(deployment: Manifest, pods: Sequence[Manifest], now: datetime) -> Problem | None:
    """None once the newest spec is rolled out and all its pods are available; else the most telling cause."""
    if _is_rolled_out(deployment):
        return None
    causes = [_creation_refused(deployment)]
    causes += [check(pod) for check in _POD_CHECKS for pod in pods_of(deployment, pods)]
    causes += [_guard_waits(pod, now) for pod in pods_of(deployment, pods)]
    found = next((cause for cause in causes if cause is not None), None)
    if found is not None:
        return found
    name, wanted = deployment["metadata"]["name"], deployment["spec"].get("replicas", 1)
    message = f"Deployment {name}: {available_pods(deployment)} of {wanted} pods available"
    return Problem(Reason.PROVISIONING, message)


def guard_patience_seconds(pods: Sequence[Manifest], now: datetime) -> float | None:
    """When the first guard that waits now will have waited too long; None: none waits, or all too long."""
    left = (since + _GUARD_PATIENCE - now for pod in pods if (since := _guard_since(pod)) is not None)
    return min((each.total_seconds() for each in left if each > timedelta()), default=None)


def _is_rolled_out(deployment: Manifest) -> bool:
    status = deployment.get("status") or {}
    wanted = deployment["spec"].get("replicas", 1)
    counts = (status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas"))
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return seen and all(count == wanted for count in counts)


def _creation_refused(deployment: Manifest) -> Problem | None:
    """The API server refuses to create a pod: quota, or another admission rule."""
    name = deployment["metadata"]["name"]
    for condition in (deployment.get("status") or {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = _POD_NAME.sub("", condition.get("message", ""))
            if "exceeded quota" in message:
                advice = "raise spec.quota or lower the limits"
                return Problem(Reason.QUOTA_EXCEEDED, f"Deployment {name}: {message}; {advice}")
            return Problem(Reason.NOT_READY, f"Deployment {name}: no pod may be made: {message}")
    return None


def _unschedulable(pod: Manifest) -> Problem | None:
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition.get("reason") == "Unschedulable":
            said = condition.get("message", "no node fits")
            advice = "add nodes or lower the requests"
            return Problem(Reason.UNSCHEDULABLE, f"Pod {_name(pod)}: {said}; {advice}")
    return None


def _image_missing(pod: Manifest) -> Problem | None:
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in _PULL:
            return Problem(
                Reason.IMAGE_PULL_FAILED,
                f"Pod {_name(pod)}: image {container['image']} cannot be pulled ({waiting['reason']}); "
                "check its name and that nodes may pull it",
            )
    return None


def _crashing(pod: Manifest) -> Problem | None:
    for container in _containers(pod):
        state = container.get("state", {})
        ended = state.get("terminated") or container.get("lastState", {}).get("terminated")
        waiting = (state.get("waiting") or {}).get("reason") == "CrashLoopBackOff"
        if waiting or (state.get("terminated") and container.get("restartCount", 0) > 0):
            how = f"{ended.get('reason', 'ended')}, exit code {ended.get('exitCode')}" if ended else "ended"
            return Problem(
                Reason.CRASH_LOOP,
                f"Pod {_name(pod)}: container {container['name']} keeps ending ({how}); read its logs",
            )
    return None


def _not_startable(pod: Manifest) -> Problem | None:
    for container in _containers(pod):
        waiting = container.get("state", {}).get("waiting") or {}
        if waiting.get("reason") in _CONFIG:
            return Problem(
                Reason.NOT_READY,
                f"Pod {_name(pod)}: container {container['name']} cannot start ({waiting['reason']}): "
                f"{waiting.get('message', '')}",
            )
    return None


def _guard_waits(pod: Manifest, now: datetime) -> Problem | None:
    since = _guard_since(pod)
    if since is None or now < since + _GUARD_PATIENCE:
        return None
    return Problem(
        Reason.GUARD_WAITING,
        f"Pod {_name(pod)}: its guard has waited since {since:%Y-%m-%dT%H:%M:%SZ} and lets nothing start; "
        "its log says for what: the gateway, the canaries in the operator's namespace, or a network engine "
        "that enforces NetworkPolicy",
    )


def _guard_since(pod: Manifest) -> datetime | None:
    """Since when the pod's guard runs, if it does."""
    for container in (pod.get("status") or {}).get("initContainerStatuses") or []:
        running = container.get("state", {}).get("running")
        if container["name"] == names.GUARD and running:
            return datetime.fromisoformat(running["startedAt"])
    return None


_POD_CHECKS: Final[tuple[Callable[[Manifest], Problem | None], ...]] = (
    _image_missing,
    _not_startable,
    _crashing,
    _unschedulable,
)


def _containers(pod: Manifest) -> Iterator[Manifest]:
    status = pod.get("status") or {}
    yield from status.get("initContainerStatuses") or []
    yield from status.get("containerStatuses") or []


def _name(pod: Manifest) -> str:
    labels = pod["metadata"].get("labels") or {}
    tool = labels.get(names.TOOL_LABEL)
    return f"{pod['metadata']['name']} of tool {tool}" if tool else str(pod["metadata"]["name"])
