"""Which cluster can run which level, and what happens to a workspace while it cannot."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import (
    BASELINE,
    CLUSTER,
    CREATED,
    POOL,
    SANDBOXED,
    USER_NAMESPACE,
    effective,
    runtime,
    tool,
)
from support.cluster import converge, gathered, namespace
from support.store import Store
from support.verdicts import FALSE, TRUE, condition, events, judged, said

from bulkhead.api.conditions import ConditionType as Kind
from bulkhead.api.conditions import Reason
from bulkhead.api.events import EventReason
from bulkhead.api.merge import merged_quota
from bulkhead.api.workspace import Quota
from bulkhead.api.workspace_class import Toleration
from bulkhead.plan.actions import Apply
from bulkhead.plan.facts import ClusterFacts, NodeFacts, Taint
from bulkhead.plan.placement import isolation_problem, quota_beyond_nodes
from bulkhead.plan.planner import plan
from bulkhead.render.rendered import key_of

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective, Isolation

LABELS: Any = POOL["node_selector"]
TAINTS = (
    Taint(key="agents", value="only", effect="NoSchedule"),
    Taint(key="spot", value="yes", effect="NoExecute"),
    Taint(key="other", effect="PreferNoSchedule"),
)
NODE = NodeFacts(name="n", labels=LABELS, taints=TAINTS, user_namespaces=True)


def _facts(*nodes: NodeFacts, classes: frozenset[str] = frozenset({"gvisor"})) -> ClusterFacts:
    return ClusterFacts(runtime_classes=classes, nodes=nodes)


FITS: list[tuple[str, Isolation, ClusterFacts | None]] = [
    ("Baseline, nothing known", BASELINE, None),
    ("Baseline, no node yet", BASELINE, _facts()),
    ("Baseline, one node", BASELINE, _facts(NodeFacts(name="n"))),
    ("UserNamespace", USER_NAMESPACE, _facts(NODE)),
    ("Sandboxed", SANDBOXED, _facts(NODE)),
    ("one of many", SANDBOXED, _facts(NodeFacts(name="a"), NODE)),
    ("every taint tolerated", replace(BASELINE, tolerations=(Toleration(operator="Exists"),)),
     _facts(replace(NODE, taints=(*TAINTS, Taint(key="x", effect="NoExecute"))))),
    ("Sandboxed needs no user namespaces", SANDBOXED, _facts(replace(NODE, user_namespaces=False))),
]  # fmt: skip


@pytest.mark.parametrize(("isolation", "facts"), [row[1:] for row in FITS], ids=[row[0] for row in FITS])
def test_what_fits_is_no_problem(isolation: Isolation, facts: ClusterFacts | None) -> None:
    """A workspace that could run would be held back."""
    assert isolation_problem(isolation, facts) is None


MISSING, UNFIT = Reason.RUNTIME_CLASS_MISSING, Reason.NO_FITTING_NODE
HELD: list[tuple[str, Isolation, ClusterFacts | None, Reason, str]] = [
    ("UserNamespace, nothing known", USER_NAMESPACE, None, UNFIT, "cannot be read"),
    ("Sandboxed, nothing known", SANDBOXED, None, UNFIT, "cannot be read"),
    ("no runtime class", SANDBOXED, _facts(NODE, classes=frozenset()), MISSING, "RuntimeClass gvisor"),
    ("another runtime class", SANDBOXED, _facts(NODE, classes=frozenset({"kata"})), MISSING, "gvisor"),
    ("UserNamespace, no node", USER_NAMESPACE, _facts(), UNFIT, "the cluster has no node"),
    ("node cannot", USER_NAMESPACE, _facts(replace(NODE, user_namespaces=False)), UNFIT,
     "1 unable to do user namespaces"),
    ("cordoned", SANDBOXED, _facts(replace(NODE, schedulable=False)), UNFIT, "1 cordoned"),
    ("label missing", SANDBOXED, _facts(replace(NODE, labels={"pool": "agents"})), UNFIT,
     "1 without the labels"),
    ("label differs", SANDBOXED, _facts(replace(NODE, labels={**LABELS, "pool": "x"})), UNFIT,
     "nodeSelector"),
    ("taint", BASELINE, _facts(NODE), UNFIT, "not tolerated (agents)"),
    ("taint of another value", SANDBOXED,
     _facts(replace(NODE, taints=(Taint(key="agents", value="x", effect="NoSchedule"),))), UNFIT, "agents"),
    ("taint of another effect", SANDBOXED,
     _facts(replace(NODE, taints=(Taint(key="agents", value="only", effect="NoExecute"),))), UNFIT, "agents"),
    ("each for its own cause", SANDBOXED,
     _facts(replace(NODE, schedulable=False), NodeFacts(name="a"), NodeFacts(name="b")), UNFIT,
     "none of 3 nodes fits: 1 cordoned, 2 without the labels of nodeSelector"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("isolation", "facts", "reason", "words"), [row[1:] for row in HELD], ids=[row[0] for row in HELD]
)
def test_what_does_not_fit_is_told_with_its_cause(
    isolation: Isolation, facts: ClusterFacts | None, reason: Reason, words: str
) -> None:
    """Unknown means denied, and a person reads one line to know what to mend."""
    problem = isolation_problem(isolation, facts)

    assert problem is not None
    assert problem.reason is reason
    assert words in problem.message


BARE = replace(CLUSTER, runtime_classes=frozenset())
SPEC = effective(runtime=runtime(), tools=(tool("shell"),), isolation=SANDBOXED)


def _made(store: Store, spec: Effective, **fields: Any) -> set[str]:
    planned = plan(*gathered(store, spec, **fields), spec, CREATED)
    return {
        key_of(action.manifest).name
        for wave in planned.waves
        for action in wave
        if isinstance(action, Apply) and action.manifest["kind"] == "Deployment"
    }


def _with_services() -> Store:
    """All but the Deployments: the next round would make them."""
    store = Store()
    converge(store, SPEC)
    for where in [where for where in store.objects if where[0] in {"Deployment", "Pod"}]:
        del store.objects[where]
        store.applied.pop(where, None)
    return store


def test_no_agent_is_made_while_the_runtime_class_is_missing() -> None:
    """ISO-KRN-002: fail closed. The doors run, so that sessions are answered and status can be told."""
    store = _with_services()
    held = plan(*gathered(store, SPEC, cluster=BARE), SPEC, CREATED)

    assert _made(store, SPEC, cluster=BARE) == {"gateway"}
    assert _made(store, SPEC) == {"gateway", "runtime", "tool-shell"}
    assert "RuntimeClass gvisor" in held.waiting_for
    assert held.requeue_after_seconds == 15.0


def test_agents_that_are_there_are_kept_as_declared() -> None:
    """A RuntimeClass that goes must not take what runs with it, nor leave an edit of it unmended."""
    store = Store()
    converge(store, SPEC)
    store.edit("Deployment", namespace(SPEC), "runtime")["spec"]["replicas"] = 5

    kept = plan(*gathered(store, SPEC, cluster=BARE), SPEC, CREATED)

    (action,) = (action for wave in kept.waves for action in wave)
    assert isinstance(action, Apply)
    assert action.manifest["spec"]["replicas"] == 1
    assert kept.requeue_after_seconds == 15.0


def test_status_says_why_no_agent_is_made() -> None:
    """RuntimeReady and ToolsReady are what a user looks at; Ready repeats the most telling of them."""
    verdict = judged(_with_services(), SPEC, cluster=BARE)

    for kind in (Kind.RUNTIME_READY, Kind.TOOLS_READY, Kind.READY):
        assert said(verdict, kind) == (FALSE, Reason.RUNTIME_CLASS_MISSING)
    assert condition(verdict, Kind.TOOLS_READY).message.count("RuntimeClass gvisor") == 1


def _running() -> Store:
    store = Store()
    converge(store, SPEC)
    store.tick()
    return store


def test_a_runtime_class_gone_while_in_use_is_told_though_pods_run() -> None:
    """The next pod would not start: somebody must know before that."""
    assert said(judged(_running(), SPEC, cluster=BARE), Kind.RUNTIME_READY) == (FALSE, MISSING)


def test_cordoning_the_nodes_of_running_pods_takes_nothing_away() -> None:
    """Upgrading nodes is routine: what serves is Ready."""
    cordoned = replace(CLUSTER, nodes=tuple(replace(node, schedulable=False) for node in CLUSTER.nodes))
    store = _running()
    serving = judged(store, SPEC, cluster=cordoned)
    store.edit("Deployment", namespace(SPEC), "runtime")["status"]["availableReplicas"] = 0
    broken = judged(store, SPEC, cluster=cordoned)

    assert said(serving, Kind.READY)[0] is TRUE
    assert said(broken, Kind.RUNTIME_READY) == (FALSE, UNFIT)
    assert said(broken, Kind.TOOLS_READY)[0] is TRUE


def test_a_workspace_without_agents_needs_no_runtime_class() -> None:
    """A gateway alone runs on the ordinary runtime."""
    spec = effective(isolation=SANDBOXED)
    store = Store()
    converge(store, spec)
    store.tick()

    assert said(judged(store, spec, cluster=BARE), Kind.READY)[0] is TRUE
    assert plan(*gathered(store, spec, cluster=BARE), spec, CREATED).waiting_for == ""


def test_a_quota_beyond_all_nodes_is_told_once_and_harms_nothing() -> None:
    """The bound holds all the same: it only promises what the cluster cannot give."""
    spec = effective(quota=Quota(cpu="9", memory="16Gi", pods=300, storage="1Gi"))
    store = Store()
    converge(store, spec)
    store.tick()

    first = judged(store, spec)
    again = judged(store, spec, first.status)

    said_of_quota = condition(first, Kind.QUOTA_APPLIED)
    assert (said_of_quota.status, said(first, Kind.READY)[0]) == (TRUE, TRUE)
    assert said_of_quota.message == (
        "spec.quota is more than all fitting nodes together have: cpu 9 of 8, pods 300 of 220"
    )
    assert EventReason.QUOTA_EXCEEDS_NODES in events(first)
    assert EventReason.QUOTA_EXCEEDS_NODES not in events(again)


def test_cores_are_told_as_people_write_them() -> None:
    """The merged quota has the API server's spelling, 3k."""
    spec = effective(quota=merged_quota(Quota(cpu="3000"), Quota(), Quota()))

    assert "cpu 3000 of 8" in quota_beyond_nodes(spec, CLUSTER)


def test_disk_counts_where_nodes_say_how_much_they_have() -> None:
    """A key of the quota like the others; a node that names none would make every quota too large."""
    spec = effective(quota=Quota(ephemeral_storage="41Gi"))
    nodes = tuple(replace(node, ephemeral_bytes=20 * 1024**3) for node in CLUSTER.nodes)

    assert quota_beyond_nodes(spec, replace(CLUSTER, nodes=nodes)).endswith(": ephemeralStorage 41Gi of 40Gi")
    assert quota_beyond_nodes(spec, CLUSTER) == ""


def test_only_fitting_nodes_count_for_the_quota() -> None:
    """Room outside the pool is room for others."""
    spec = replace(SPEC, quota=Quota(cpu="5", pods=100))

    assert "cpu 5 of 4" in quota_beyond_nodes(spec, CLUSTER)
    assert quota_beyond_nodes(replace(spec, isolation=BASELINE), CLUSTER) == ""
    assert quota_beyond_nodes(spec, None) == ""
