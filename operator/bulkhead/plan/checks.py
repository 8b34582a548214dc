"""Small pure checks in ordered chains: the first problem of a chain is what its condition says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bulkhead import names, quantity
from bulkhead.api.conditions import ConditionType, Reason
from bulkhead.plan.compare import Difference, compare, is_edited, settled
from bulkhead.plan.findings import Problem, listed
from bulkhead.plan.ownership import is_going, namespace_is_ours
from bulkhead.plan.placement import placement_problem
from bulkhead.plan.tenant_policy import is_narrow
from bulkhead.plan.volumes import unprovided
from bulkhead.plan.workloads import why_unavailable
from bulkhead.render.rendered import ObjectKey, key_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from bulkhead.api.effective import Effective
    from bulkhead.plan.observed import Manifest, Observed
    from bulkhead.render.rendered import Rendered

__all__ = [
    "CHECKS",
    "Check",
    "Evidence",
    "everything_in_place",
    "first_problem",
    "lost_sources",
    "namespace_conflict",
]


_WAITS: Final = frozenset({Reason.PROVISIONING, Reason.UNSCHEDULABLE})


@dataclass(frozen=True, slots=True)
class Evidence:
    """What checks look at."""

    effective: Effective
    desired: Rendered
    observed: Observed
    now: datetime

    def wanted(self, *kinds: str) -> tuple[Manifest, ...]:
        """The manifests of these kinds."""
        return tuple(manifest for manifest in self.desired.manifests if manifest["kind"] in kinds)

    def live(self, manifest: Manifest) -> Manifest | None:
        """The live object behind a manifest."""
        key = key_of(manifest)
        return self.observed.namespace if key.kind == "Namespace" else self.observed.objects.get(key)


Check = Callable[[Evidence], Problem | None]


def first_problem(checks: Iterable[Check], evidence: Evidence) -> Problem | None:
    """The first problem in order, or None: the condition is True."""
    return next((problem for check in checks if (problem := check(evidence)) is not None), None)


def namespace_conflict(evidence: Evidence) -> Problem | None:
    """The derived name is taken by a namespace that is not ours."""
    if evidence.observed.namespace is None or namespace_is_ours(evidence.observed, evidence.effective.uid):
        return None
    return Problem(
        Reason.NAMESPACE_CONFLICT,
        f"Namespace {evidence.desired.namespace}: exists and belongs to somebody else, it is not touched; "
        "delete it, or delete this workspace and make it again (a new one gets another namespace)",
    )


def everything_in_place(evidence: Evidence) -> Problem | None:
    """Every manifest has its equal in the cluster; the rest of the conditions say what that means."""
    return _in_place(evidence, evidence.desired.manifests)


def _in_place(evidence: Evidence, manifests: Iterable[Manifest]) -> Problem | None:
    missing: list[str] = []
    edited: list[str] = []
    for manifest in manifests:
        live = evidence.live(manifest)
        if live is None or is_going(live):
            missing.append(str(key_of(manifest)))
        elif compare(settled(manifest, live), live) is not Difference.NONE:
            (edited if is_edited(manifest, live) else missing).append(str(key_of(manifest)))
    if edited:
        return Problem(Reason.NOT_READY, f"{listed(edited)}: not as rendered, to be repaired")
    if missing:
        return Problem(Reason.PROVISIONING, f"{listed(missing)}: not in place yet")
    return None


def _namespace_in_place(evidence: Evidence) -> Problem | None:
    live = evidence.observed.namespace
    if live is not None and is_going(live):
        return Problem(
            Reason.NOT_READY,
            f"Namespace {evidence.desired.namespace}: was deleted by somebody, is made again when it is gone",
        )
    return _in_place(evidence, evidence.wanted("Namespace"))


def _policies_in_place(evidence: Evidence) -> Problem | None:
    return _in_place(evidence, evidence.wanted("NetworkPolicy"))


def _no_foreign_policy(evidence: Evidence) -> Problem | None:
    """Policies add up, so a policy beside ours can only open a way; a tenant's may, between its own pods."""
    ours = {key_of(manifest) for manifest in evidence.wanted("NetworkPolicy")}
    foreign = [
        str(key)
        for key, live in evidence.observed.objects.items()
        if key.kind == "NetworkPolicy" and key not in ours and not is_narrow(live)
    ]
    if not foreign:
        return None
    return Problem(Reason.NOT_READY, f"{listed(foreign)}: not part of this workspace, to be deleted")


def _quota_in_place(evidence: Evidence) -> Problem | None:
    return _in_place(evidence, evidence.wanted("ResourceQuota", "LimitRange"))


def _quota_counted(evidence: Evidence) -> Problem | None:
    """A quota limits nothing until the controller manager has counted what is there."""
    for manifest in evidence.wanted("ResourceQuota"):
        live = evidence.live(manifest) or {}
        if not _same_amounts(manifest["spec"]["hard"], (live.get("status") or {}).get("hard") or {}):
            return Problem(
                Reason.PROVISIONING, f"{key_of(manifest)}: not counted by the controller manager yet"
            )
    return None


def _same_amounts(wanted: Mapping[str, str], counted: Mapping[str, str]) -> bool:
    return wanted.keys() <= counted.keys() and all(
        quantity.exact(amount) == quantity.exact(counted[name]) for name, amount in wanted.items()
    )


def _sources_readable(evidence: Evidence) -> Problem | None:
    missing = lost_sources(evidence) or list(evidence.observed.missing_secret_sources)
    if not missing:
        return None
    kept = "" if lost_sources(evidence) else "; the value copied last is kept"
    advice = "create it or let the operator read it"
    return Problem(
        Reason.SECRET_SOURCE_MISSING,
        f"Secret {listed(missing)}: does not exist or may not be read{kept}; {advice}",
    )


def lost_sources(evidence: Evidence) -> list[str]:
    """Missing sources of which no value is there at all: a pod that mounts one cannot be made."""
    needed = evidence.desired.waiting_for
    return [source for source in evidence.observed.missing_secret_sources if f"Secret {source}" in needed]


def _secrets_in_place(evidence: Evidence) -> Problem | None:
    withheld = [key for key in evidence.desired.withheld if key.kind == "Secret"]
    if withheld:
        facts = sorted({fact for key in withheld for fact in evidence.desired.withheld[key]})
        return Problem(Reason.PROVISIONING, f"{listed(facts)}: not known yet")
    return _in_place(evidence, evidence.wanted("Secret"))


def _not_suspended(evidence: Evidence) -> Problem | None:
    if not evidence.effective.lifecycle.suspended:
        return None
    return Problem(Reason.SUSPENDED, "spec.lifecycle.suspended is true; set it to false to go on")


def _gateway_serves(evidence: Evidence) -> Problem | None:
    field = "spec.gateway.storage.storageClassName of the class"
    return _explained(evidence, _serves(evidence, names.GATEWAY), names.GATEWAY_DATA, field)


def _explained(evidence: Evidence, problem: Problem | None, claim: str, field: str = "") -> Problem | None:
    """What keeps its volume from being made explains why a pod waits; other causes stand for themselves."""
    live = evidence.observed.objects.get(ObjectKey("PersistentVolumeClaim", claim))
    if problem is None or live is None or problem.reason not in _WAITS:
        return problem
    return unprovided(live, evidence.observed.cluster, field) or problem


def _tokens_revoked(evidence: Evidence) -> Problem | None:
    pending = evidence.observed.unrevoked
    if not pending:
        return None
    return Problem(
        Reason.REVOCATION_PENDING,
        f"Pod {listed(list(pending))}: has not confirmed epoch {evidence.effective.session_epoch}; tokens of "
        "earlier ones may still be accepted there",
    )


def _egress_serves(evidence: Evidence) -> Problem | None:
    """No egress is wanted where nothing may go out."""
    wanted = ObjectKey("Deployment", names.EGRESS) in {key_of(m) for m in evidence.desired.manifests}
    return _serves(evidence, names.EGRESS) if wanted else None


def _runtime_serves(evidence: Evidence) -> Problem | None:
    if evidence.effective.runtime is None:
        return None
    return _explained(evidence, _agent_serves(evidence, names.RUNTIME), names.RUNTIME_DATA)


def _tools_serve(evidence: Evidence) -> Problem | None:
    """Every tool that does not serve is named; the most telling reason of them decides."""
    problems = {
        tool.name: problem
        for tool in evidence.effective.tools
        if (problem := _agent_serves(evidence, names.tool(tool.name))) is not None
    }
    if not problems:
        return None
    telling = min(problems.values(), key=lambda problem: problem.reason is Reason.PROVISIONING)
    messages = dict.fromkeys(problem.message for problem in problems.values())
    return Problem(telling.reason, "; ".join(messages))


def _agent_serves(evidence: Evidence, name: str) -> Problem | None:
    """What keeps a pod from being made explains why it does not serve; cordoning its node takes nothing away.

    A RuntimeClass that is gone is said in any case: the next pod would not start.
    """
    unplaced = placement_problem(evidence.effective, evidence.observed.cluster)
    if unplaced is not None and unplaced.reason is Reason.RUNTIME_CLASS_MISSING:
        return unplaced
    problem = _serves(evidence, name)
    return problem and (unplaced or problem)


def _serves(evidence: Evidence, name: str) -> Problem | None:
    key = ObjectKey("Deployment", name)
    live = evidence.observed.objects.get(key)
    facts = evidence.desired.withheld.get(key)
    if facts is not None and live is None:
        sources = any(fact.startswith("Secret ") for fact in facts)
        reason = Reason.SECRET_SOURCE_MISSING if sources else Reason.PROVISIONING
        return Problem(reason, f"{key}: waits for {listed(list(facts))}")
    if live is None or is_going(live):
        return Problem(Reason.PROVISIONING, f"{key}: not in place yet")
    wanted = (manifest for manifest in evidence.desired.manifests if key_of(manifest) == key)
    return _in_place(evidence, wanted) or why_unavailable(live, evidence.observed.pods, evidence.now)


# In the order in which they come true, which is also the order in which they explain why Ready is not.
CHECKS: Final[Mapping[ConditionType, tuple[Check, ...]]] = {
    ConditionType.NAMESPACE_READY: (namespace_conflict, _namespace_in_place),
    ConditionType.NETWORK_ISOLATED: (_policies_in_place, _no_foreign_policy),
    ConditionType.QUOTA_APPLIED: (_quota_in_place, _quota_counted),
    ConditionType.SECRETS_SYNCED: (_sources_readable, _secrets_in_place),
    ConditionType.GATEWAY_READY: (_not_suspended, _tokens_revoked, _gateway_serves, _egress_serves),
    ConditionType.RUNTIME_READY: (_not_suspended, _runtime_serves),
    ConditionType.TOOLS_READY: (_not_suspended, _tools_serve),
}
