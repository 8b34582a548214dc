"""The order down: each call looks at what is left and gives the next steps; nothing is ever made again.

sessions revoked, access off -> egress off -> workloads deleted, pods gone -> secrets wiped -> namespace gone.
Nobody may make a pod any more before the first one is ended. Pods end while their policies still stand
(CVE-2024-7598). It takes a name and a UID, not a spec: a workspace whose spec never worked must go as well.
Nothing foreign is forced: what blocks is named, with its finalizers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.plan.actions import Delete, Plan
from bulkhead.plan.ownership import carries_our_label, is_going, namespace_is_ours
from bulkhead.plan.planner import delete
from bulkhead.render.rendered import ObjectKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bulkhead.plan.actions import Action
    from bulkhead.plan.observed import Manifest, Observed

__all__ = ["teardown"]

_AGAIN: Final = 0.0  # something was written and nobody will tell us: look at once
_POLL_SECONDS: Final = 2.0
_SHOWN: Final = 5  # blockers named in one message
_EGRESS: Final = tuple(ObjectKey(kind, names.EGRESS) for kind in ("Deployment", "NetworkPolicy", "Service"))
# Built-in controllers that make a pod again when it is deleted; deleting them is the way to delete it.
_CONTROLLERS: Final = frozenset({"DaemonSet", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"})


def teardown(name: str, uid: str, observed: Observed, *, operator_namespace: str) -> Plan:
    """The next steps down; `finished` once nothing of the workspace is left and the finalizer may go.

    A namespace of that name that is not ours by UID is left alone, whatever is in it.
    """
    key = _signing_key(uid, observed, operator_namespace)
    live = observed.namespace
    if live is None or not namespace_is_ours(observed, uid):
        if key:
            return Plan(waves=(tuple(key),), requeue_after_seconds=_AGAIN)
        return Plan(finished=True)
    if is_going(live):
        return Plan(
            waves=_without_empty(key),
            waiting_for=_what_holds(live, observed),
            requeue_after_seconds=_POLL_SECONDS,
        )
    steps = (*_cut_off(observed, key), *_end_workloads(observed, uid))
    if steps:
        return Plan(waves=steps, waiting_for=_pods_left(observed.pods), requeue_after_seconds=_AGAIN)
    if observed.pods:
        return Plan(waiting_for=_pods_left(observed.pods), requeue_after_seconds=_POLL_SECONDS)
    secrets = [delete(found, key) for key, found in _ours(observed, "Secret")]
    space = delete(live, ObjectKey("Namespace", names.namespace(name, uid)))
    return Plan(
        waves=_without_empty(secrets, [space]),
        waiting_for=f"{space.kind} {space.name}: to be gone",
        requeue_after_seconds=_AGAIN,
    )


def _signing_key(uid: str, observed: Observed, operator_namespace: str) -> list[Action]:
    """Without it no session token of this workspace can ever be made again."""
    if observed.signing_key_uid is None:
        return []
    secret = names.signing_key(uid)
    return [Delete("v1", "Secret", operator_namespace, secret, observed.signing_key_uid)]


def _cut_off(observed: Observed, signing_key: list[Action]) -> tuple[tuple[Action, ...], ...]:
    """Sessions and people, then the way out."""
    sessions = _deletions(observed, [ObjectKey("Secret", names.SESSION_KEYS_SECRET)])
    return _without_empty([*signing_key, *sessions, *_people(observed)], _deletions(observed, _EGRESS))


def _people(observed: Observed) -> list[Action]:
    """Every binding but the operator's own: an admin's own ones give rights just as ours do."""
    return [
        delete(found, key)
        for key, found in _ours(observed, "RoleBinding")
        if key.name != names.OPERATOR_BINDING
    ]


def _end_workloads(observed: Observed, uid: str) -> tuple[tuple[Action, ...], ...]:
    """Deployments first; the garbage collector ends their pods. Then pods that others made.

    A pod of a built-in controller ends by deleting that controller, by the UID in the pod's owner reference.
    """
    deployments = [delete(found, key) for key, found in _ours(observed, "Deployment")]
    if deployments:
        return (tuple(deployments),)
    strays = [pod for pod in observed.pods if not is_going(pod) and not carries_our_label(pod, uid)]
    return _without_empty(dict.fromkeys(map(_end_of, strays)))


def _end_of(pod: Manifest) -> Delete:
    metadata = pod["metadata"]
    for owner in metadata.get("ownerReferences") or []:
        if owner.get("controller") and owner["kind"] in _CONTROLLERS:
            return Delete(
                owner["apiVersion"], owner["kind"], metadata["namespace"], owner["name"], owner["uid"]
            )
    return Delete("v1", "Pod", metadata["namespace"], metadata["name"], metadata["uid"])


def _ours(observed: Observed, kind: str) -> Iterator[tuple[ObjectKey, Manifest]]:
    """Objects of a kind that are not yet told to go; in our own namespace everything is ours to end."""
    for key, found in sorted(observed.objects.items()):
        if key.kind == kind and not is_going(found):
            yield key, found


def _deletions(observed: Observed, keys: Iterable[ObjectKey]) -> list[Action]:
    there = ((key, observed.objects.get(key)) for key in keys)
    return [delete(found, key) for key, found in there if found is not None and not is_going(found)]


def _without_empty(*waves: Iterable[Action]) -> tuple[tuple[Action, ...], ...]:
    return tuple(wave for wave in map(tuple, waves) if wave)


def _pods_left(pods: tuple[Manifest, ...]) -> str:
    """Which pods are left, and which finalizers hold them."""
    left = [_pod(pod) for pod in pods]
    if not left:
        return ""
    more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    return f"{', '.join(sorted(left)[:_SHOWN])}{more}: to be gone"


def _described(kind: str, live: Manifest) -> str:
    finalizers = live["metadata"].get("finalizers") or []
    held = f" (finalizers {', '.join(finalizers)})" if finalizers else ""
    return f"{kind} {live['metadata']['name']}{held}"


def _pod(pod: Manifest) -> str:
    owners = [
        f"{o['kind']} {o['name']}"
        for o in pod["metadata"].get("ownerReferences") or []
        if o.get("controller")
    ]
    return f"{_described('Pod', pod)}{f' of {owners[0]}' if owners else ''}"


def _what_holds(namespace: Manifest, observed: Observed) -> str:
    """What the namespace controller says is left, in its own words."""
    conditions = (namespace.get("status") or {}).get("conditions") or []
    said = [c["message"] for c in conditions if c.get("status") == "True" and c.get("message")]
    blockers = [
        _described(key.kind, found)
        for key, found in sorted(observed.objects.items())
        if found["metadata"].get("finalizers")
    ]
    reasons = [*said, *blockers[:_SHOWN], _pods_left(observed.pods)]
    detail = "; ".join(reason for reason in reasons if reason)
    name = namespace["metadata"]["name"]
    return f"Namespace {name}: {detail}" if detail else f"Namespace {name}: to be gone"
