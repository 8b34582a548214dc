"""`plan`: from what should be and what is, the writes in the order up; nothing to do gives an empty plan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bulkhead.plan.actions import Apply, Delete, Plan, Replace
from bulkhead.plan.compare import Difference, compare, is_edited, needs_recreation, replacement, settled
from bulkhead.plan.expiry import next_change
from bulkhead.plan.ownership import carries_our_label, is_going, namespace_is_ours
from bulkhead.plan.placement import placement_problem
from bulkhead.plan.tenant_policy import is_narrow
from bulkhead.render.rendered import ObjectKey, Wave, key_of, wave_of

if TYPE_CHECKING:
    from datetime import datetime

    from bulkhead.api.effective import Effective
    from bulkhead.plan.actions import Action
    from bulkhead.plan.observed import Manifest, Observed
    from bulkhead.render.rendered import Rendered

__all__ = ["delete", "plan"]

# Watches tell sooner; these bound the wait when one was missed.
_GOING_SECONDS: Final = 2.0
_ADDRESS_SECONDS: Final = 1.0
_SOURCE_SECONDS: Final = 10.0  # Secrets outside the workspace are not watched
_PLACEMENT_SECONDS: Final = 15.0  # neither are nodes and RuntimeClasses


@dataclass(slots=True)
class _Draft:
    """Actions by wave, and what must go away before later waves may be written."""

    waves: dict[Wave, list[Action]] = field(default_factory=dict)
    going: list[str] = field(default_factory=list)
    held_after: Wave = Wave.AGENTS
    unplaced: str = ""  # why no new agents are made

    def add(self, wave: Wave, action: Action) -> None:
        self.waves.setdefault(wave, []).append(action)

    def hold(self, wave: Wave, reason: str) -> None:
        self.going.append(reason)
        self.held_after = min(self.held_after, wave)


def plan(desired: Rendered, observed: Observed, effective: Effective, now: datetime) -> Plan:
    """The next writes; each wave may start when the one before it has succeeded, and not otherwise.

    A namespace that is not ours, or that is going away, is not written to. What must be deleted before it can
    be made again holds back the waves after it: no pod appears while one of its policies is on its way out.
    While the cluster cannot run untrusted pods as their level asks, none is made; those that are there stay.
    """
    if observed.namespace is not None:
        if not namespace_is_ours(observed, effective.uid):
            return Plan(waiting_for=f"Namespace {desired.namespace}: belongs to somebody else")
        if is_going(observed.namespace):
            return Plan(
                waiting_for=f"Namespace {desired.namespace}: is being deleted and will be made again",
                requeue_after_seconds=_GOING_SECONDS,
            )
    draft = _Draft()
    for key, live in sorted(observed.objects.items()):
        if key.kind == "NetworkPolicy" and not carries_our_label(live, effective.uid) and not is_narrow(live):
            _remove_foreign_policy(draft, desired, key, live)
    unplaced = placement_problem(effective, observed.cluster)
    for manifest in desired.manifests:
        key = key_of(manifest)
        if wave_of(key) > draft.held_after:
            break
        if unplaced is not None and wave_of(key) is Wave.AGENTS:
            draft.unplaced = unplaced.message
            if key not in observed.objects:
                continue
        _bring_up(draft, manifest, observed)
    ups = tuple(tuple(actions) for _, actions in sorted(draft.waves.items()))
    downs = () if draft.going else _removals(desired, observed, effective.uid)
    return Plan(
        waves=(*ups, *downs),
        waiting_for=", ".join(filter(None, (*draft.going, *desired.waiting_for, draft.unplaced))),
        requeue_after_seconds=min(_waits(draft, desired, observed, effective, now), default=None),
    )


def delete(live: Manifest, key: ObjectKey, *, drift: bool = False) -> Delete:
    """Delete exactly this live object."""
    metadata = live["metadata"]
    return Delete(
        api_version=_API_VERSIONS.get(key.kind, "v1"),
        kind=key.kind,
        namespace=metadata.get("namespace"),
        name=key.name,
        uid=metadata["uid"],
        drift=drift,
    )


def _bring_up(draft: _Draft, manifest: Manifest, observed: Observed) -> None:
    """What makes the live object equal to the manifest, if anything."""
    key = key_of(manifest)
    wave = wave_of(key)
    live = observed.namespace if key.kind == "Namespace" else observed.objects.get(key)
    if live is None:
        draft.add(wave, Apply(manifest, drift=observed.was_ready))
        return
    if is_going(live):
        draft.hold(wave, f"{key}: is being deleted and will be made again")
        return
    wanted = settled(manifest, live)
    difference = compare(wanted, live)
    edited = is_edited(wanted, live)
    if difference is Difference.NONE:
        return
    if needs_recreation(wanted, live):
        draft.add(wave, delete(live, key, drift=edited))
        draft.hold(wave, f"{key}: cannot be changed in place, is deleted and made again")
    elif difference is Difference.FOREIGN:
        draft.add(wave, Replace(replacement(wanted, live), drift=edited))
    else:
        draft.add(wave, Apply(wanted, drift=edited))


def _remove_foreign_policy(draft: _Draft, desired: Rendered, key: ObjectKey, live: Manifest) -> None:
    """It opens ways that are not ours to open; one under our name is taken over by the manifest instead."""
    if not is_going(live) and key not in {key_of(manifest) for manifest in desired.manifests}:
        draft.add(Wave.NETWORK, delete(live, key, drift=True))


def _removals(desired: Rendered, observed: Observed, workspace_uid: str) -> tuple[tuple[Action, ...], ...]:
    """What the spec no longer asks for, in the order down: pods before the policies around them."""
    wanted = {key_of(manifest) for manifest in desired.manifests} | desired.withheld.keys()
    waves: dict[Wave, list[Action]] = {}
    for key, live in sorted(observed.objects.items()):
        if key not in wanted and carries_our_label(live, workspace_uid) and not is_going(live):
            waves.setdefault(wave_of(key), []).append(delete(live, key))
    return tuple(tuple(actions) for _, actions in sorted(waves.items(), reverse=True))


def _waits(
    draft: _Draft, desired: Rendered, observed: Observed, effective: Effective, now: datetime
) -> list[float]:
    """Seconds until each reason to look again without being told."""
    seconds: list[float] = []
    if draft.going:
        seconds.append(_GOING_SECONDS)
    seconds += [
        _ADDRESS_SECONDS if fact.startswith("Service ") else _SOURCE_SECONDS for fact in desired.waiting_for
    ]
    if observed.missing_secret_sources:
        seconds.append(_SOURCE_SECONDS)
    if draft.unplaced:
        seconds.append(_PLACEMENT_SECONDS)
    change = next_change(effective, last_activity=observed.last_activity, now=now)
    if change is not None:
        seconds.append(max(0.0, (change - now).total_seconds()))
    return seconds


# Items of a list carry no apiVersion of their own.
_API_VERSIONS: Final = {
    "Deployment": "apps/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
}
