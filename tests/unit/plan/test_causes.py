"""Why a workspace is not Ready: one row a cause."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import CLUSTER, secret
from support.verdicts import (
    FALSE,
    NOW,
    SPACE,
    SPEC,
    TRUE,
    condition,
    judged,
    ready_store,
    said,
)

from bulkhead.api.conditions import ConditionType as Kind
from bulkhead.api.conditions import Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from support.store import Store

    from bulkhead.plan.facts import ClusterFacts


def _broken_pod(store: Store, **status: Any) -> None:
    live = store.edit("Deployment", SPACE, "tool-search")
    live["status"] |= {"availableReplicas": 0}
    store.objects["Pod", SPACE, "tool-search-0"]["status"] = status


def _waiting(reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"containerStatuses": [{"name": "tool", "image": "evil:1", "restartCount": 3, "state": state}]}


def _guard(since: datetime) -> dict[str, Any]:
    running = {"running": {"startedAt": since.strftime("%Y-%m-%dT%H:%M:%SZ")}}
    guard = {"name": "guard", "image": "ours:1", "restartCount": 0, "state": running}
    return {"initContainerStatuses": [guard], **_waiting("PodInitializing")}


def _quota_refused(store: Store) -> None:
    live = store.edit("Deployment", SPACE, "tool-search")
    message = (
        'pods "tool-search-6f-abcde" is forbidden: exceeded quota: workspace, requested: limits.cpu=500m, '
        "used: limits.cpu=2, limited: limits.cpu=2"
    )
    live["status"] = {
        "observedGeneration": live["metadata"]["generation"],
        "conditions": [{"type": "ReplicaFailure", "status": "True", "message": message}],
    }


CAUSES: list[tuple[str, Callable[[Store], object], Kind, Reason, tuple[str, ...]]] = [
    ("image pull", lambda s: _broken_pod(s, **_waiting("ImagePullBackOff")),
     Kind.TOOLS_READY, Reason.IMAGE_PULL_FAILED, ("tool-search-0 of tool search", "evil:1")),
    ("bad image name", lambda s: _broken_pod(s, **_waiting("InvalidImageName")),
     Kind.TOOLS_READY, Reason.IMAGE_PULL_FAILED, ("evil:1",)),
    ("crash loop", lambda s: _broken_pod(s, **_waiting("CrashLoopBackOff")),
     Kind.TOOLS_READY, Reason.CRASH_LOOP, ("container tool keeps ending", "logs")),
    ("runs as root",
     lambda s: _broken_pod(s, **_waiting("CreateContainerConfigError", "image will run as root")),
     Kind.TOOLS_READY, Reason.NOT_READY, ("image will run as root",)),
    ("no node", lambda s: _broken_pod(s, conditions=[
        {"type": "PodScheduled", "reason": "Unschedulable", "message": "0/2 nodes: no cpu"}]),
     Kind.TOOLS_READY, Reason.UNSCHEDULABLE, ("0/2 nodes: no cpu",)),
    ("quota", _quota_refused, Kind.TOOLS_READY, Reason.QUOTA_EXCEEDED,
     ("Deployment tool-search", "exceeded quota: workspace", "raise spec.quota")),
    ("guard waits", lambda s: _broken_pod(s, **_guard(NOW - timedelta(seconds=6))),
     Kind.TOOLS_READY, Reason.GUARD_WAITING,
     ("tool-search-0 of tool search", "since 2026-11-01T08:00:54Z", "its log", "canaries")),
    ("guard has only begun", lambda s: _broken_pod(s, **_guard(NOW - timedelta(seconds=4))),
     Kind.TOOLS_READY, Reason.PROVISIONING, ("0 of 1 pods available",)),
    ("guard's image", lambda s: _broken_pod(s, initContainerStatuses=[
        {"name": "guard", "image": "ours:1", "restartCount": 0,
         "state": {"waiting": {"reason": "ErrImagePull"}}}]),
     Kind.TOOLS_READY, Reason.IMAGE_PULL_FAILED, ("ours:1",)),
    ("starting", _broken_pod, Kind.TOOLS_READY, Reason.PROVISIONING, ("0 of 1 pods available",)),
    ("quota edited", lambda s: s.edit("ResourceQuota", SPACE, "workspace")["spec"]["hard"].update(pods="99"),
     Kind.QUOTA_APPLIED, Reason.NOT_READY, ("ResourceQuota workspace",)),
    ("quota not counted", lambda s: s.edit("ResourceQuota", SPACE, "workspace").pop("status"),
     Kind.QUOTA_APPLIED, Reason.PROVISIONING, ("not counted",)),
    ("policy gone", lambda s: s.objects.pop(("NetworkPolicy", SPACE, "runtime")),
     Kind.NETWORK_ISOLATED, Reason.PROVISIONING, ("NetworkPolicy runtime",)),
    ("policy opened", lambda s: s.edit("NetworkPolicy", SPACE, "default-deny")["spec"].update(ingress=[{}]),
     Kind.NETWORK_ISOLATED, Reason.NOT_READY, ("NetworkPolicy default-deny",)),
    ("foreign policy", lambda s: s.create({"kind": "NetworkPolicy", "spec": {},
                                          "metadata": {"name": "open", "namespace": SPACE}}),
     Kind.NETWORK_ISOLATED, Reason.NOT_READY, ("NetworkPolicy open", "not part of this workspace")),
    ("namespace relaxed", lambda s: s.edit("Namespace", None, SPACE)["metadata"]["labels"].update(
        {"pod-security.kubernetes.io/enforce": "privileged"}),
     Kind.NAMESPACE_READY, Reason.NOT_READY, (SPACE,)),
    ("namespace deleted",
     lambda s: s.edit("Namespace", None, SPACE)["metadata"].update(deletionTimestamp="x"),
     Kind.NAMESPACE_READY, Reason.NOT_READY, ("was deleted by somebody",)),
    ("gateway down", lambda s: s.edit("Deployment", SPACE, "gateway")["status"].update(availableReplicas=0),
     Kind.GATEWAY_READY, Reason.PROVISIONING, ("Deployment gateway",)),
    ("old generation", lambda s: s.edit("Deployment", SPACE, "runtime")["metadata"].update(generation=99),
     Kind.RUNTIME_READY, Reason.PROVISIONING, ("Deployment runtime",)),
    ("account gone", lambda s: s.objects.pop(("ServiceAccount", SPACE, "runtime")),
     Kind.READY, Reason.PROVISIONING, ("ServiceAccount runtime",)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("strike", "kind", "reason", "words"), [case[1:] for case in CAUSES], ids=[case[0] for case in CAUSES]
)
def test_each_cause_has_its_reason_and_names_its_object(
    strike: Callable[[Store], object], kind: Kind, reason: Reason, words: tuple[str, ...]
) -> None:
    """A person reads one line: what, which object, what to do."""
    store = ready_store()
    strike(store)

    verdict = judged(store)

    assert said(verdict, kind) == (FALSE, reason)
    assert said(verdict, Kind.READY) == (FALSE, reason)
    assert [word for word in words if word not in condition(verdict, kind).message] == []


def test_the_retries_of_a_refused_pod_do_not_flicker_in_the_message() -> None:
    """Each retry has a random pod name: with it in the message, status is written for ever."""
    store = ready_store()
    _quota_refused(store)

    assert "abcde" not in condition(judged(store), Kind.TOOLS_READY).message


def test_a_waiting_guard_is_looked_at_again_when_its_time_is_up() -> None:
    """Nothing changes in the cluster while it waits: without a timer the reason would never appear."""
    store = ready_store()
    _broken_pod(store, **_guard(NOW - timedelta(seconds=4)))
    young = judged(store)
    _broken_pod(store, **_guard(NOW - timedelta(seconds=6)))
    old = judged(store)

    assert young.requeue_after_seconds == 1.0
    assert old.requeue_after_seconds != 0.0


def test_a_narrow_policy_of_a_tenants_leaves_the_network_isolated() -> None:
    """Else self-service would cost the workspace its Ready."""
    store = ready_store()
    theirs = {"podSelector": {"matchLabels": {"app": "worker"}}}
    spec = {**theirs, "policyTypes": ["Ingress"], "ingress": [{"from": [theirs]}]}
    store.create({"kind": "NetworkPolicy", "spec": spec, "metadata": {"name": "own", "namespace": SPACE}})

    assert said(judged(store), Kind.NETWORK_ISOLATED) == (TRUE, Reason.READY)


def test_what_was_done_otherwise_than_asked_is_said() -> None:
    """A range that is partly denied works in part: without a word, that looks like a fault."""
    spec = replace(SPEC, remarks=("203.0.113.0/24 is subtracted from spec.egress[0].cidr",))

    network = condition(judged(ready_store(spec), spec), Kind.NETWORK_ISOLATED)

    assert (network.status, network.message) == (TRUE, spec.remarks[0])


def test_a_vanished_source_whose_value_is_kept_is_said_and_takes_nothing_away() -> None:
    """SEC-005: a Secret deleted by mistake must not stop a workspace that has its value; nor go unnoticed."""
    spec = replace(SPEC, secrets=(secret("api-key"),))
    store = ready_store(spec)
    source = "platform-secrets/api-key:token"

    kept = judged(store, spec, missing_secret_sources=(source,))

    assert said(kept, Kind.SECRETS_SYNCED) == (FALSE, Reason.SECRET_SOURCE_MISSING)
    assert f"{source}: does not exist" in condition(kept, Kind.SECRETS_SYNCED).message
    assert "the value copied last is kept" in condition(kept, Kind.SECRETS_SYNCED).message
    assert said(kept, Kind.READY) == (TRUE, Reason.READY)


def test_a_copy_that_is_edited_while_its_source_is_gone_is_still_repaired_first() -> None:
    """The kept value excuses the source, not a stranger's hand in the copy."""
    spec = replace(SPEC, secrets=(secret("api-key"),))
    store = ready_store(spec)
    store.edit("Secret", SPACE, "secret-api-key")["data"]["value"] = "ZXZpbA=="

    verdict = judged(store, spec, missing_secret_sources=("platform-secrets/api-key:token",))

    assert said(verdict, Kind.READY) == (FALSE, Reason.NOT_READY)


def _pending_gateway(store: Store, **spec: Any) -> None:
    """Its pod waits for a volume."""
    live = store.edit("Deployment", SPACE, "gateway")
    live["status"] |= {"availableReplicas": 0}
    claim = store.edit("PersistentVolumeClaim", SPACE, "gateway-data")
    del claim["spec"]["storageClassName"]
    claim["spec"] |= spec
    claim["status"] = {"phase": "Pending"}
    message = "0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims"
    unplaced = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    store.objects["Pod", SPACE, "gateway-0"]["status"] = {"conditions": [unplaced]}


@pytest.mark.parametrize(
    ("asked", "facts", "words"),
    [
        ({}, {"storage_classes": frozenset()}, "no StorageClass is the cluster's default"),
        ({}, {}, "name one in spec.gateway.storage.storageClassName"),
        ({"storageClassName": "fast"}, {"storage_classes": frozenset({"slow"})}, "fast does not exist"),
    ],
    ids=["none at all", "no default", "named one is missing"],
)
def test_a_volume_that_nothing_makes_is_said(
    asked: dict[str, Any], facts: dict[str, Any], words: str
) -> None:
    """The scheduler's words, a hundred nodes with unbound claims, tell nobody what to do."""
    store = ready_store()
    _pending_gateway(store, **asked)
    facts = {"has_default_storage_class": False} | facts
    verdict = judged(store, cluster=replace(CLUSTER, **facts))

    assert said(verdict, Kind.GATEWAY_READY) == (FALSE, Reason.STORAGE_CLASS_MISSING)
    assert words in condition(verdict, Kind.GATEWAY_READY).message
    assert "PersistentVolumeClaim gateway-data" in condition(verdict, Kind.GATEWAY_READY).message


@pytest.mark.parametrize(
    ("asked", "facts"),
    [
        ({}, CLUSTER),
        ({"storageClassName": "fast"}, replace(CLUSTER, storage_classes=frozenset({"fast"}))),
        ({}, None),
    ],
    ids=["default", "named", "not known"],
)
def test_a_volume_that_is_being_made_is_no_cause(asked: dict[str, Any], facts: ClusterFacts | None) -> None:
    """What is said must be true: there is a StorageClass, so something else is wrong, or nothing yet."""
    store = ready_store()
    _pending_gateway(store, **asked)

    assert said(judged(store, cluster=facts), Kind.GATEWAY_READY) == (FALSE, Reason.UNSCHEDULABLE)


def test_a_volume_that_is_there_needs_no_storage_class() -> None:
    """Volumes made by hand have none, and a StorageClass may go when its volumes are made."""
    store = ready_store()
    _pending_gateway(store)
    store.edit("PersistentVolumeClaim", SPACE, "gateway-data")["status"]["phase"] = "Bound"

    assert said(judged(store), Kind.GATEWAY_READY) == (FALSE, Reason.UNSCHEDULABLE)


def test_a_containers_own_words_never_reach_status() -> None:
    """A termination message is tenant output and may be a secret."""
    store = ready_store()
    ended = {"reason": "Error", "exitCode": 1, "message": "token=planted-secret"}
    state = _waiting("CrashLoopBackOff")
    state["containerStatuses"][0]["lastState"] = {"terminated": ended}
    _broken_pod(store, **state)

    verdict = judged(store)

    assert "Error, exit code 1" in condition(verdict, Kind.TOOLS_READY).message
    assert "planted-secret" not in verdict.status.model_dump_json()


def test_what_a_person_can_act_on_comes_before_what_needs_patience() -> None:
    """The REASON column must not say Provisioning while an image can never be pulled."""
    store = ready_store()
    store.edit("Deployment", SPACE, "gateway")["status"] = {}
    _broken_pod(store, **_waiting("ErrImagePull"))

    assert said(judged(store), Kind.READY) == (FALSE, Reason.IMAGE_PULL_FAILED)
