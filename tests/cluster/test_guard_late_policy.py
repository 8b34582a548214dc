"""Policies that come late: in the pod, tenant code does not begin before they are in force."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.levels import ADMIN, class_manifest, isolation, pod_ready, tenant_pod

from kubelive import ApiRefusal, Live, Ref, kubectl, wait_until
from kubelive.backend import Backend, can_connect
from kubelive.install import OPERATOR_NAMESPACE
from kubelive.workspaces import condition, namespace_of, ready, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import Operator

Manifest = dict[str, Any]
CANARY_PORT: Final = 8090
LEVELS: Final = ("Baseline", "Sandboxed")

# The first thing that it does is to try the canary, the second to say when it began and how that went.
FIRST_WORDS: Final = """
import json, signal, socket, sys, time
began = time.time()
try:
    socket.create_connection((sys.argv[1], 8090), timeout=1).close()
    canary = "open"
except OSError as error:
    canary = type(error).__name__
print(json.dumps({"tenant": began, "canary": canary}), flush=True)
signal.pause()
"""


class NetworkEngine:
    """Cilium's agents, told to enforce policies or not to; they connect pods all the same."""

    def __init__(self, live: Live) -> None:
        self._live = live
        assert self._running(), "the late policy is staged with Cilium"

    def enforce(self, mode: str) -> None:
        """`never`: all ways are open. `default`: as usual."""
        for agent in self._running():
            kubectl(
                "exec", "-n", "kube-system", agent, "-c", "cilium-agent",
                "--", "cilium-dbg", "config", f"PolicyEnforcement={mode}",
            )  # fmt: skip

    def stop(self) -> None:
        """No agent runs when this returns; what they have programmed for running pods stays."""
        self._choose_nodes({"bulkhead.dev/none-has-this": "true"})
        wait_until("no agent", lambda: not self._running(), timeout_seconds=60)

    def start(self) -> None:
        """Every agent runs when this returns; nothing is done if they do."""
        self._choose_nodes({"bulkhead.dev/none-has-this": None})
        kubectl("rollout", "status", "ds/cilium", "-n", "kube-system", "--timeout=90s")

    def _choose_nodes(self, selector: dict[str, str | None]) -> None:
        patch = {"spec": {"template": {"spec": {"nodeSelector": selector}}}}
        self._live.merge(Ref("DaemonSet", "cilium", "kube-system"), patch)

    def _running(self) -> list[str]:
        found = self._live.items("Pod", "kube-system", selector="k8s-app=cilium")
        return [pod["metadata"]["name"] for pod in found]


@dataclass(frozen=True, slots=True)
class Untrusted:
    """A pod of tenant code, and the container in which that is."""

    namespace: str
    name: str
    container: str

    @property
    def ref(self) -> Ref:
        """The pod."""
        return Ref("Pod", self.name, self.namespace)

    def lines(self, container: str = "") -> list[Manifest]:
        """What a container has logged until now, as JSON; nothing if it has not begun."""
        where = container or self.container
        done = kubectl("logs", "-n", self.namespace, self.name, "-c", where, "--tail=-1", check=False)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def first_words(self) -> Manifest | None:
        """What its code said first, if it has begun."""
        return next((line for line in self.lines() if "tenant" in line), None)


@pytest.fixture
def engine(live: Live, bulkhead: None) -> Iterator[NetworkEngine]:
    """The network engine; it enforces again when the test ends, however it ends."""
    made = NetworkEngine(live)
    try:
        yield made
    finally:
        made.start()
        made.enforce("default")


class Canaries:
    """The canaries' Deployment, to be stopped and started."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._ref = Ref("Deployment", "bulkhead-canary", OPERATOR_NAMESPACE)
        self._replicas = live.get(self._ref)["spec"]["replicas"]

    def stop(self) -> None:
        """None lives when this returns."""
        self._live.merge(self._ref, {"spec": {"replicas": 0}})
        wait_until("no canary", lambda: not _canaries(self._live), timeout_seconds=60)

    def start(self) -> None:
        """All of them live when this returns; nothing is done if they do."""
        self._live.merge(self._ref, {"spec": {"replicas": self._replicas}})
        where = ("-n", OPERATOR_NAMESPACE, "--timeout=90s")
        kubectl("rollout", "status", f"deployment/{self._ref.name}", *where)


def _canaries(live: Live) -> list[Manifest]:
    return live.items("Pod", OPERATOR_NAMESPACE, selector="app.kubernetes.io/component=canary")


@pytest.fixture
def canaries(live: Live, bulkhead: None) -> Iterator[Canaries]:
    """The canaries; they live again when the test ends, however it ends."""
    made = Canaries(live)
    try:
        yield made
    finally:
        made.start()


@pytest.fixture
def canary(live: Live, bulkhead: None) -> str:
    """The address of a canary."""
    return str(_canaries(live)[0]["status"]["podIP"])


@pytest.fixture
def late(live: Live, level: str) -> Iterator[str]:
    """The name for a workspace of that level, and of its class; both are gone when the test ends."""
    name = f"late-{level.lower()}"
    own = [Ref("TenantWorkspace", name), Ref("WorkspaceClass", name)]
    wait_until("none of old", lambda: not any(map(live.find, own)), timeout_seconds=120)
    live.apply(class_manifest(name, isolation=isolation(level)))
    yield name
    for ref in own:  # the class goes as soon as nobody uses it
        live.delete(ref)
    for each in LEVELS:
        live.delete(Ref("Pod", f"late-control-{each.lower()}", Backend().namespace))


def _apply(live: Live, name: str, **spec: object) -> None:
    access = [{"kind": "User", "name": ADMIN, "role": "admin"}]
    live.apply(workspace(name, className=name, access=access, **spec))


def _clock(backend: Backend) -> float:
    """Now, on the node where the pods run."""
    said = kubectl(
        "exec", "-n", backend.namespace, backend.pod, "--", "python3", "-c", "import time; print(time.time())"
    ).stdout
    return float(said)


def _state(live: Live, pod: Untrusted) -> dict[str, Manifest]:
    """The state of each container, guard included."""
    status = live.get(pod.ref)["status"]
    states = status.get("initContainerStatuses", []) + status.get("containerStatuses", [])
    return {each["name"]: each["state"] for each in states}


def _made_by_admin(live: Live, namespace: str, command: list[str]) -> Untrusted:
    """A bare pod of the tenant's admin; possible as soon as the gateway has an address."""
    admin = Live(live.kubeconfig, as_user=ADMIN)

    def probe() -> bool:
        try:
            admin.create(tenant_pod(namespace, "late", command=command))
        except ApiRefusal as refusal:
            if refusal.status == 403:  # neither rights nor guard are there yet
                return False
            raise
        return True

    wait_until("the admin may make a pod", probe, timeout_seconds=60)
    return Untrusted(namespace, "late", "main")


def _made_by_operator(live: Live, namespace: str) -> Untrusted:
    def probe() -> str | None:
        found = live.items("Pod", namespace, selector="bulkhead.dev/component=runtime")
        return found[0]["metadata"]["name"] if found else None

    return Untrusted(namespace, wait_until("the runtime's pod", probe, timeout_seconds=60), "runtime")


def _unguarded(live: Live, backend: Backend, level: str, command: list[str], **spec: object) -> Untrusted:
    """The same pod outside every workspace, where nothing holds it back."""
    ref = Ref("Pod", f"late-control-{level.lower()}", backend.namespace)
    manifest = tenant_pod(backend.namespace, ref.name, command=command)
    manifest["spec"] |= spec
    manifest["spec"]["securityContext"]["runAsUser"] = 65532
    if level == "Sandboxed":
        manifest["spec"]["runtimeClassName"] = "gvisor"
    live.delete(ref)
    wait_until("no control of old", lambda: live.find(ref) is None)
    live.create(manifest)
    return Untrusted(backend.namespace, ref.name, "main")


def _waits_for(state: str, pod: Untrusted) -> bool:
    """Whether its guard has said that this is why it waits."""
    return any(line.get("state") == state for line in pod.lines("guard"))


def _assert_not_begun(live: Live, pod: Untrusted) -> None:
    states = _state(live, pod)
    assert {"running"} == set(states["guard"])
    assert "PodInitializing" == states[pod.container]["waiting"]["reason"]


def _assert_held_back(live: Live, late: str, guarded: list[Untrusted]) -> None:
    """Each guard has been at the canary, nothing else has begun, and the workspace says why."""
    for pod in guarded:
        at_the_canary = partial(_waits_for, "canary-reached", pod)
        wait_until(f"the guard of {pod.name} at the canary", at_the_canary, timeout_seconds=120)
    waiting = wait_until(
        "the workspace says so",
        lambda: (now := condition(live, late, "RuntimeReady")) and now["reason"] == "GuardWaiting" and now,
        timeout_seconds=30,
        describe=lambda: str(condition(live, late, "RuntimeReady")),
    )
    assert guarded[0].name in waiting["message"]
    for pod in guarded:
        _assert_not_begun(live, pod)


def _began_after(live: Live, released_at: float, pod: Untrusted, uid: str) -> Manifest:
    """The first words of the pod that waited; it has begun by itself since."""
    now = pod_ready(live, pod.namespace, pod.name)
    words = wait_until(f"first words of {pod.name}", pod.first_words, timeout_seconds=60)

    assert released_at < words["tenant"]
    assert uid == now["metadata"]["uid"]
    assert [0] == [each["restartCount"] for each in now["status"]["containerStatuses"]]
    assert "guard.passed" == pod.lines("guard")[-1]["event"]
    return words


@pytest.mark.parametrize("level", LEVELS)
def test_no_line_of_tenant_code_runs_before_policies_are_enforced(
    live: Live, engine: NetworkEngine, backend: Backend, canary: str, late: str, level: str
) -> None:
    """ISO-GRD-001: an engine that is behind leaves a new pod open; what begins in it then gets out."""
    command = ["python3", "-c", FIRST_WORDS, canary]
    engine.enforce("never")
    _apply(live, late, runtime={"command": command})
    space: Manifest = wait_until(
        "the namespace", lambda: live.get(Ref("TenantWorkspace", late)).get("status", {}).get("namespace")
    )
    control = _unguarded(live, backend, level, command)
    guarded = [_made_by_operator(live, space["name"]), _made_by_admin(live, space["name"], command)]

    _assert_held_back(live, late, guarded)
    unheld = wait_until("the control's first words", control.first_words, timeout_seconds=60)
    assert "open" == unheld["canary"], "the ways are open, and code that nothing holds back runs"
    uids = [live.get(pod.ref)["metadata"]["uid"] for pod in guarded]

    released_at = _clock(backend)
    engine.enforce("default")

    assert unheld["tenant"] < released_at
    for pod, uid in zip(guarded, uids, strict=True):
        words = _began_after(live, released_at, pod, uid)
        assert "TimeoutError" == words["canary"], "its first packet goes nowhere"

    runtime = guarded[0]
    reaches = partial(
        can_connect, runtime.namespace, runtime.name, canary, CANARY_PORT, container=runtime.container
    )
    assert not reaches()
    engine.enforce("never")
    wait_until("the same pod at the canary, without policies", reaches, timeout_seconds=30)


@pytest.mark.parametrize("level", ["Baseline"])
def test_with_the_engine_stopped_a_new_pod_waits_for_it(
    live: Live, engine: NetworkEngine, backend: Backend, canary: str, late: str, level: str
) -> None:
    """ISO-GRD-001: engine stopped, pod created, engine started: it must neither run before nor be lost."""
    _apply(live, late)
    ready(live, late)
    namespace = namespace_of(live, late)
    engine.stop()
    command = ["python3", "-c", FIRST_WORDS, canary]
    pod = _made_by_admin(live, namespace, command)
    uid = live.get(pod.ref)["metadata"]["uid"]
    # Made later, on the node's own network, the same code has begun: it is not the kubelet that is late.
    control = _unguarded(live, backend, level, command, hostNetwork=True)
    wait_until("the control's first words", control.first_words, timeout_seconds=60)
    assert live.get(pod.ref)["status"]["hostIP"], "the kubelet has taken the pod"
    assert {"waiting"} == {kind for state in _state(live, pod).values() for kind in state}

    released_at = _clock(backend)
    engine.start()

    words = _began_after(live, released_at, pod, uid)
    assert "TimeoutError" == words["canary"], "its first packet goes nowhere"


@pytest.mark.parametrize("level", ["Baseline"])
def test_without_canaries_a_pod_waits_and_without_the_operator_it_starts(
    live: Live, operator: Operator, canaries: Canaries, backend: Backend, canary: str, late: str, level: str
) -> None:
    """ISO-GRD-001: the silence of a canary that is gone proves nothing; and nobody hangs on the operator."""
    _apply(live, late)
    ready(live, late)
    namespace = namespace_of(live, late)
    operator.stop()
    try:
        canaries.stop()
        pod = _made_by_admin(live, namespace, ["python3", "-c", FIRST_WORDS, canary])
        uid = live.get(pod.ref)["metadata"]["uid"]
        wait_until("its guard's word", partial(_waits_for, "no-canary-alive", pod), timeout_seconds=60)
        _assert_not_begun(live, pod)

        released_at = _clock(backend)
        canaries.start()

        _began_after(live, released_at, pod, uid)
        assert [] == operator.pods()
    finally:
        operator.start()
