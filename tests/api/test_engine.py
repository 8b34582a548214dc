"""The operator as a process against a real API server: what it writes, repairs, leaves alone and survives.

No pod needs to run, as workspaces here are suspended; the controller manager must, to end namespaces. An
operator that the chart installed rests meanwhile.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead import names
from kubelive import Live, Ref, wait_until
from kubelive.workspaces import workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("unfenced", "crds"), pytest.mark.timeout(120)]

SYSTEM = "bulkhead-system"
CLASS = "api-engine"
DRIFT = "api-drift"
SUSPENDED = {"suspended": True}
_WRITES = re.compile(
    r'^bulkhead_api_requests_total\{code="\d+",kind="(?!Lease|Event)\w+",verb="(\w+)"\} (\S+)$'
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """One operator, run as `python -m bulkhead.app`."""

    def __init__(self, log: Path, identity: str = "api-tests") -> None:
        self._log = log
        self._health, self._metrics = free_port(), free_port()
        self._settings = {
            "PYTHONPATH": str(Path(__file__).parents[2] / "operator"),
            "BULKHEAD_SANDBOX_IMAGE": "bulkhead/sandbox:api-tests",
            "BULKHEAD_OPERATOR_NAMESPACE": SYSTEM,
            "BULKHEAD_POD_NAME": identity,
            "BULKHEAD_HEALTH_PORT": str(self._health),
            "BULKHEAD_METRICS_PORT": str(self._metrics),
            "BULKHEAD_LEASE_RETRY_SECONDS": "0.3",
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, leads: bool = True) -> None:
        """Return once it is ready, and leads if it shall."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bulkhead.app"],
                env=os.environ | self._settings,
                stdout=log,
                stderr=log,
            )
        wait_until("operator ready", self.is_ready, timeout_seconds=30, describe=self._log.read_text)
        if leads:
            wait_until("operator leads", self.leads, timeout_seconds=30, describe=self._log.read_text)

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def end(self, number: signal.Signals) -> int:
        """End it by a signal; its exit code."""
        self.signal(number)
        assert self._process is not None
        return self._process.wait(20)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def is_ready(self) -> bool:
        return self._get(self._health, "readyz") is not None

    def leads(self) -> bool:
        answer = self._get(self._health, "readyz")
        return answer is not None and bool(json.loads(answer)["leading"])

    def metric(self, name: str) -> float:
        lines = (self._get(self._metrics, "metrics") or "").splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name))

    def writes(self) -> dict[str, float]:
        """Writing requests so far by verb; the Lease and Events aside."""
        found: dict[str, float] = {}
        for line in (self._get(self._metrics, "metrics") or "").splitlines():
            if (match := _WRITES.match(line)) and match[1] not in {"get", "list"}:
                found[match[1]] = found.get(match[1], 0) + float(match[2])
        return found

    @staticmethod
    def _get(port: int, path: str) -> str | None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=2) as answer:
                return str(answer.read().decode())
        except OSError:
            return None


@pytest.fixture(scope="module")
def alone(live: Live) -> Iterator[None]:
    """No other operator works on this cluster."""
    live.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}})
    spec = {"defaults": {"lifecycle": {"ttl": "1h", "warnBefore": "1s"}}, "ceilings": {"ttl": "2h"}}
    api_version = names.API_VERSION
    live.apply(
        {"apiVersion": api_version, "kind": names.CLASS_KIND, "metadata": {"name": CLASS}, "spec": spec}
    )
    installed = [
        Ref("Deployment", each["metadata"]["name"], SYSTEM) for each in live.items("Deployment", SYSTEM)
    ]
    replicas = {ref: live.get(ref)["spec"]["replicas"] for ref in installed}
    for ref in installed:
        live.merge(ref, {"spec": {"replicas": 0}})
    wait_until("installed operators gone", lambda: not live.items("Pod", SYSTEM), timeout_seconds=60)
    yield
    live.delete(Ref(names.CLASS_KIND, CLASS))
    for ref in installed:
        live.merge(ref, {"spec": {"replicas": replicas[ref]}})


@pytest.fixture(scope="module")
def operator(alone: None, live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A leading operator for all tests of this module; what they made is gone in the end."""
    del alone
    process = Process(tmp_path_factory.mktemp("operator") / "log")
    process.start()
    clean(live)  # what a broken-off run may have left
    yield process
    clean(live)
    process.end(signal.SIGTERM)


def clean(live: Live) -> None:
    """None of these tests' workspaces is left when this returns."""

    def left() -> list[str]:
        found = [each["metadata"]["name"] for each in live.items(names.WORKSPACE_KIND)]
        return [name for name in found if name.startswith("api-")]

    for name in left():
        live.delete(Ref(names.WORKSPACE_KIND, name))
    wait_until("workspaces of earlier tests gone", lambda: not left(), timeout_seconds=40)


@pytest.fixture
def make(live: Live, operator: Process) -> Iterator[Callable[..., str]]:
    """Make a workspace and wait until the operator has nothing left to write; its namespace returns."""
    del operator
    made: list[str] = []

    def make_one(name: str, **spec: object) -> str:
        made.append(name)
        return make_workspace(live, name, **spec)

    yield make_one
    for name in made:
        live.delete(Ref(names.WORKSPACE_KIND, name))


@pytest.fixture(scope="module")
def space(live: Live, operator: Process) -> Iterator[str]:
    """The namespace of one workspace, which tests of drift share."""
    del operator
    yield make_workspace(live, DRIFT)
    live.delete(Ref(names.WORKSPACE_KIND, DRIFT))


def make_workspace(live: Live, name: str, **spec: object) -> str:
    """A workspace with nothing left to write; its namespace returns."""
    given = {"className": CLASS, "lifecycle": SUSPENDED, "tools": [{"name": "shell"}]} | spec
    created = live.apply(workspace(name, **given))
    wait_until(f"{name} at rest", lambda: at_rest(live, name), timeout_seconds=30)
    return names.namespace(name, created["metadata"]["uid"])


def at_rest(live: Live, name: str) -> bool:
    """Suspended with everything in place, or Stalled."""
    found = live.get(Ref(names.WORKSPACE_KIND, name))
    reasons = {each["type"]: each["reason"] for each in found.get("status", {}).get("conditions", ())}
    current = found.get("status", {}).get("observedGeneration") == found["metadata"]["generation"]
    stalled = reasons.get("Stalled") in {"UnknownClass", "InvalidSpec", "ExceedsClass", "NamespaceConflict"}
    return current and (
        stalled or (reasons.get("ToolsReady") == "Suspended" and "NetworkIsolated" in reasons)
    )


def condition(live: Live, name: str, kind: str) -> tuple[str, str]:
    conditions = live.get(Ref(names.WORKSPACE_KIND, name)).get("status", {}).get("conditions", ())
    return next(((each["status"], each["reason"]) for each in conditions if each["type"] == kind), ("", ""))


def test_a_workspace_comes_up_with_finalizer_and_policies(space: str, live: Live) -> None:
    """The main path, by the real API server's rules."""
    policies = {each["metadata"]["name"] for each in live.items("NetworkPolicy", space)}

    assert live.get(Ref(names.WORKSPACE_KIND, DRIFT))["metadata"]["finalizers"] == [names.FINALIZER]
    assert policies == {"default-deny", "gateway", "guard", "tool-shell"}
    assert condition(live, DRIFT, "NetworkIsolated") == ("True", "Ready")


@pytest.mark.usefixtures("space")
def test_a_reconcile_of_what_is_converged_writes_nothing(live: Live, operator: Process) -> None:
    """A write at rest is an event, and an event a reconcile: a loop that never ends."""

    def quiet() -> bool:
        writes, reconciled = operator.writes(), operator.metric("bulkhead_reconcile_total")
        touch(live)
        wait_until("a reconcile", lambda: operator.metric("bulkhead_reconcile_total") > reconciled)
        return operator.writes() == writes

    # A controller may still be counting the quota, which is worth a status; that must come to an end.
    wait_until("a reconcile without a write", quiet, timeout_seconds=15)


def touch(live: Live) -> None:
    """An edit that asks for nothing: only the reconcile that follows."""
    annotations = {"touched": str(next(_NUMBERS))}
    live.merge(Ref(names.WORKSPACE_KIND, DRIFT), {"metadata": {"annotations": annotations}})


_NUMBERS = itertools.count()
EDITS: list[tuple[str, str, dict[str, Any]]] = [
    ("NetworkPolicy", "default-deny", {"spec": {"ingress": [{}]}}),
    ("NetworkPolicy", "gateway", {"spec": {"podSelector": {"matchLabels": None}}}),
    ("ResourceQuota", "workspace", {"spec": {"hard": {"pods": "500"}}}),
    ("ResourceQuota", "workspace", {"spec": {"hard": {"count/jobs.batch": "9"}}}),
    ("Deployment", "tool-shell", {"spec": {"template": {"spec": {"hostNetwork": True}}}}),
    ("Deployment", "gateway", {"spec": {"replicas": 3}}),
    ("RoleBinding", "bulkhead-operator", {"subjects": []}),
    ("Secret", "session-keys", {"data": {"more": "eA=="}}),
    ("Service", "gateway", {"metadata": {"labels": {names.COMPONENT_LABEL: None}}}),
]


@pytest.mark.parametrize(
    ("kind", "name", "patch"), EDITS, ids=[f"{k}-{n}-{i}" for i, (k, n, _) in enumerate(EDITS)]
)
def test_an_edited_child_is_as_rendered_again(
    space: str, live: Live, kind: str, name: str, patch: dict[str, Any]
) -> None:
    """Drift of security objects is undone as a whole, foreign fields included."""
    ref = Ref(kind, name, space)
    before = essence(live.get(ref))
    edited = live.merge(ref, patch)
    if kind == "Secret":  # not watched: that would need the right to read them all; this stands for the sweep
        touch(live)

    assert essence(edited) != before
    wait_until(f"{kind} {name} repaired", lambda: essence(live.get(ref)) == before, timeout_seconds=10)


def essence(live: dict[str, Any]) -> dict[str, Any]:
    """What somebody may have changed."""
    kept = {key: value for key, value in live.items() if key not in {"metadata", "status"}}
    return kept | {"labels": live["metadata"].get("labels")}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("NetworkPolicy", "default-deny"),
        ("ResourceQuota", "workspace"),
        ("LimitRange", "workspace"),
        ("RoleBinding", "bulkhead-operator"),
        ("ServiceAccount", "gateway"),
        ("Service", "tool-shell"),
        ("Deployment", "gateway"),
    ],
)
def test_a_deleted_child_is_made_again(space: str, live: Live, kind: str, name: str) -> None:
    """By the watch alone: nothing else tells the operator."""
    ref = Ref(kind, name, space)
    uid = live.get(ref)["metadata"]["uid"]
    live.delete(ref)

    def made_again() -> bool:
        found = live.find(ref)
        return found is not None and found["metadata"]["uid"] != uid

    wait_until(f"{kind} {name} made again", made_again, timeout_seconds=10)


def test_labels_stripped_off_the_namespace_come_back(space: str, live: Live) -> None:
    """Without the Pod Security label, privileged pods would be admitted."""
    ref = Ref("Namespace", space)
    before = live.get(ref)["metadata"]["labels"]
    gone = {label: None for label in before if label != "kubernetes.io/metadata.name"}
    live.merge(ref, {"metadata": {"labels": gone}})

    wait_until("labels restored", lambda: live.get(ref)["metadata"]["labels"] == before, timeout_seconds=10)


def test_an_additive_policy_is_removed(space: str, live: Live) -> None:
    """Policies add up: a foreign one, without any label of ours, opens what ours close."""
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "open", "namespace": space},
        "spec": {"podSelector": {}, "ingress": [{}], "policyTypes": ["Ingress"]},
    }
    live.create(policy)

    wait_until(
        "policy gone", lambda: live.find(Ref("NetworkPolicy", "open", space)) is None, timeout_seconds=10
    )


def test_a_foreign_namespace_is_untouched_to_the_byte(live: Live, operator: Process) -> None:
    """The name is derived, so somebody can be there first; what is theirs stays theirs."""
    operator.signal(signal.SIGSTOP)
    try:
        created = live.apply(workspace("api-conflict", className=CLASS, lifecycle=SUSPENDED))
        space = names.namespace("api-conflict", created["metadata"]["uid"])
        live.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}})
        before = live.get(Ref("Namespace", space))
    finally:
        operator.signal(signal.SIGCONT)
    wait_until(
        "conflict told",
        lambda: condition(live, "api-conflict", "Stalled") == ("True", "NamespaceConflict"),
        timeout_seconds=20,
    )
    live.delete(Ref(names.WORKSPACE_KIND, "api-conflict"))
    gone = Ref(names.WORKSPACE_KIND, "api-conflict")
    wait_until("workspace gone", lambda: live.find(gone) is None, timeout_seconds=20)

    after = live.get(Ref("Namespace", space))
    live.delete(Ref("Namespace", space))
    assert after == before


def test_one_bad_workspace_stops_no_other(make: Callable[..., str], live: Live) -> None:
    """What can never work is said on it, makes no namespace, and costs the others nothing."""
    make("api-bad", className="no-such-class")
    space = make("api-good")

    assert condition(live, "api-bad", "Stalled") == ("True", "UnknownClass")
    assert live.find(Ref("Namespace", space)) is not None
    labels = [each["metadata"].get("labels", {}) for each in live.items("Namespace")]
    assert "api-bad" not in [each.get(names.WORKSPACE_LABEL) for each in labels]


def test_a_deletion_while_nobody_worked_is_carried_out(
    make: Callable[..., str], live: Live, operator: Process
) -> None:
    """The finalizer keeps the object until somebody is there; SIGKILL is the worst way to go."""
    space = make("api-deleted")
    operator.end(signal.SIGKILL)
    live.delete(Ref(names.WORKSPACE_KIND, "api-deleted"))
    operator.start()

    wait_until("teardown", lambda: going(live, space), timeout_seconds=30)


def test_a_deadline_that_passed_while_nobody_worked_counts_at_the_start(
    make: Callable[..., str], live: Live, operator: Process
) -> None:
    """Deadlines are wall-clock times in the API, not timers in a process."""
    space = make("api-expired", lifecycle=SUSPENDED | {"ttl": "6s"})
    operator.end(signal.SIGKILL)
    ref = Ref(names.WORKSPACE_KIND, "api-expired")
    alive_before = "deletionTimestamp" not in live.get(ref)["metadata"]
    created = live.get(ref)["metadata"]["creationTimestamp"]
    wait_until("the deadline", lambda: server_time(live) >= plus(created, 6), timeout_seconds=20)
    operator.start()

    assert alive_before
    wait_until("teardown", lambda: going(live, space), timeout_seconds=30)


def test_a_standby_takes_over_after_a_clean_end(
    live: Live, operator: Process, make: Callable[..., str], tmp_path: Path
) -> None:
    """A rolling update must not pause the fleet; the standby is ready all the while and does nothing."""
    standby = Process(tmp_path / "standby", "standby")
    standby.start(leads=False)
    try:
        waited = (standby.is_ready(), standby.leads(), operator.leads())
        code = operator.end(signal.SIGTERM)
        wait_until("standby leads", standby.leads, timeout_seconds=10)
        space = make("api-taken-over")
    finally:
        standby.end(signal.SIGTERM)
        operator.start()

    assert (waited, code) == ((True, False, True), 0)
    assert live.find(Ref("Namespace", space)) is not None


def going(live: Live, space: str) -> bool:
    """Deleted; without a controller manager a namespace then stays, Terminating."""
    found = live.find(Ref("Namespace", space))
    return found is None or "deletionTimestamp" in found["metadata"]


def server_time(live: Live) -> str:
    """Now, as the API server stamps it: its clock made the creation time too."""
    probe = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"generateName": "clock-", "namespace": SYSTEM},
    }
    stamped = live.call("POST", f"/api/v1/namespaces/{SYSTEM}/configmaps?dryRun=All", probe)
    return str(stamped["metadata"]["creationTimestamp"])


def plus(stamp: str, seconds: int) -> str:
    """A later time in the same form."""
    return (datetime.fromisoformat(stamp) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
