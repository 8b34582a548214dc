"""The operator is killed at random moments; nothing is lost, doubled or left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from kubelive import Live, Ref, wait_until
from kubelive.fences import operator_kubeconfig
from kubelive.install import image_references
from kubelive.workspaces import namespace_of, ready, workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.cluster.conftest import Operator

WORKSPACES = 20
SEED = 20261123


class LocalOperator:
    """The very same operator as a process here, so that SIGKILL can hit it at any line."""

    def __init__(self, log: Path, kubeconfig: Path) -> None:
        self._log = log
        self._kubeconfig = kubeconfig
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # The cluster's own BULKHEAD_* facts are no settings, and the operator refuses what it does not know.
        plain = {name: value for name, value in os.environ.items() if not name.startswith("BULKHEAD_")}
        environment = plain | {
            "BULKHEAD_KUBECONFIG": str(self._kubeconfig),
            "BULKHEAD_OPERATOR_SERVICE_ACCOUNT": "bulkhead-operator",
            "BULKHEAD_SANDBOX_IMAGE": image_references()["sandbox"],
            "BULKHEAD_OPERATOR_NAMESPACE": "bulkhead-system",
            "BULKHEAD_HEALTH_PORT": "18081",
            "BULKHEAD_METRICS_PORT": "19464",
        }
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "bulkhead.app"], env=environment, stdout=log, stderr=log
            )

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait(10)
            self._process = None


@pytest.fixture
def local(operator: Operator, tmp_path: Path) -> Iterator[LocalOperator]:
    """The installed operator rests; a local one takes its place, under its identity: no other may."""
    operator.stop()
    process = LocalOperator(tmp_path / "operator.log", operator_kubeconfig(tmp_path / "kubeconfig"))

    yield process

    process.kill()
    operator.start()


def _names() -> list[str]:
    return [f"crash-{number}" for number in range(WORKSPACES)]


def _namespaces(live: Live) -> list[str]:
    return [
        str(space["metadata"]["name"])
        for space in live.items("Namespace")
        if space["metadata"].get("labels", {}).get("bulkhead.dev/workspace", "").startswith("crash-")
    ]


def _kill_often(local: LocalOperator, rng: random.Random, kills: int) -> None:
    for _ in range(kills):
        local.start()
        # The same identity takes its Lease up again at once; the kill falls anywhere in the work after that.
        time.sleep(rng.uniform(2.0, 7.0))
        local.kill()


@pytest.mark.timeout(600)
def test_sigkill_during_creation_and_teardown_of_twenty(live: Live, local: LocalOperator) -> None:
    """All converge; one namespace and one key each; after deletion nothing at all is left."""
    rng = random.Random(SEED)  # noqa: S311 - moments, not secrets
    for name in _names():
        live.apply(workspace(name, className="cluster-tests"))

    _kill_often(local, rng, 4)
    local.start()
    for name in _names():
        ready(live, name, timeout_seconds=240)
    namespaces = _namespaces(live)
    keys = live.items("Secret", "bulkhead-system", selector="bulkhead.dev/purpose=signing-key")
    mine = [key for key in keys if key["metadata"]["labels"]["bulkhead.dev/workspace"].startswith("crash-")]
    local.kill()

    assert len(namespaces) == len(set(namespaces)) == WORKSPACES
    assert len(mine) == WORKSPACES

    for name in _names():
        live.delete(Ref("TenantWorkspace", name))
    _kill_often(local, rng, 4)
    local.start()
    wait_until(
        "every workspace and namespace gone",
        lambda: not _namespaces(live) and all(live.find(Ref("TenantWorkspace", n)) is None for n in _names()),
        timeout_seconds=240,
        interval_seconds=1,
        describe=lambda: f"namespaces left: {_namespaces(live)}",
    )
    left = live.items("Secret", "bulkhead-system", selector="bulkhead.dev/purpose=signing-key")
    assert [k for k in left if k["metadata"]["labels"]["bulkhead.dev/workspace"].startswith("crash-")] == []


def test_deletion_and_deadline_while_the_operator_is_down(
    live: Live, operator: Operator, make: Callable[..., str]
) -> None:
    """What became due while nobody looked is done at start."""
    deleted, expired = make("deleted"), make("overdue", lifecycle={"ttl": "25s"})
    spaces = [namespace_of(live, deleted), namespace_of(live, expired)]
    operator.stop()
    try:
        live.delete(Ref("TenantWorkspace", deleted))
        due = live.get(Ref("TenantWorkspace", expired))["status"]["expiresAt"]
        wait_until("the deadline passes", lambda: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) > due)
        assert live.find(Ref("TenantWorkspace", deleted)) is not None, "its finalizer holds it"
        assert live.find(Ref("Namespace", spaces[1])) is not None
    finally:
        operator.start()

    wait_until(
        "both torn down",
        lambda: all(live.find(Ref("Namespace", space)) is None for space in spaces),
        timeout_seconds=90,
    )


def test_the_standby_takes_over_from_a_killed_leader(
    live: Live, operator: Operator, make: Callable[..., str]
) -> None:
    """Two replicas, one Lease: with the leader gone, the other repairs drift."""
    name = make("failover")
    (lease,) = [each for each in live.items("Lease", "bulkhead-system") if each["spec"].get("holderIdentity")]
    holder = str(lease["spec"]["holderIdentity"])
    leader = next(
        pod["metadata"]["name"] for pod in operator.pods() if holder.startswith(pod["metadata"]["name"])
    )
    ref = Ref("NetworkPolicy", "default-deny", namespace_of(live, name))

    live.call("DELETE", f"{Ref('Pod', leader, 'bulkhead-system').path}?gracePeriodSeconds=0")
    Live.break_glass().delete(ref, missing_ok=False)

    wait_until("the standby repairs", lambda: live.find(ref), timeout_seconds=45)
