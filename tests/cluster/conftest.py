"""A Bulkhead that was installed by Helm, a backend that may call gateways, and workspaces that clean up."""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import TYPE_CHECKING, Any

import pytest
from support.levels import FRUGAL
from support.stories import Scene, beside

from kubelive import Live, Ref, kubectl, wait_until
from kubelive.backend import Backend
from kubelive.install import OPERATOR_NAMESPACE, install
from kubelive.workspaces import ready, workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.stories import Told

OPERATOR_PODS = "app.kubernetes.io/name=bulkhead,app.kubernetes.io/component=operator"
SECRET_NAMESPACE = "platform-secrets"

pytestmark = [pytest.mark.cluster]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below this folder is a cluster test, with time for real pods."""
    for item in items:
        if "tests/cluster/" in item.nodeid:
            item.add_marker(pytest.mark.cluster)
            if item.get_closest_marker("timeout") is None:
                item.add_marker(pytest.mark.timeout(300))
    items.sort(key=_turn)


# An exchange of keys goes on for minutes beside all other tests, so it begins with the first of them. Rights
# come last: they read in the audit log what the others made the operator do.
_TURNS = {
    "tests/cluster/test_keys.py::test_the_next_key_is_published_before_it_signs": -1,
    "tests/cluster/test_keys.py::test_no_call_is_refused_while_the_keys_turn": 1,
    "tests/cluster/test_rights.py": 2,
}


def _turn(item: pytest.Item) -> tuple[bool, int]:
    """After all tests that need no installed operator: some of them run one of their own."""
    turn = next((turn for start, turn in _TURNS.items() if item.nodeid.startswith(start)), 0)
    return item.get_closest_marker("cluster") is not None, turn


class Operator:
    """The operator's Deployment, to be stopped and started."""

    def __init__(self, live: Live) -> None:
        self._live = live

    @property
    def ref(self) -> Ref:
        """The Deployment, whatever the chart calls it."""
        (found,) = self._live.items("Deployment", OPERATOR_NAMESPACE, selector=OPERATOR_PODS)
        return Ref("Deployment", found["metadata"]["name"], OPERATOR_NAMESPACE)

    def pods(self) -> list[dict[str, Any]]:
        """Its pods, whatever their state."""
        return self._live.items("Pod", OPERATOR_NAMESPACE, selector=OPERATOR_PODS)

    def stop(self) -> None:
        """No operator runs when this returns."""
        self._live.merge(self.ref, {"spec": {"replicas": 0}})
        wait_until("operator pods gone", lambda: not self.pods(), timeout_seconds=60)

    def start(self) -> None:
        """At least one operator is Ready when this returns."""
        self._live.merge(self.ref, {"spec": {"replicas": 2}})
        kubectl("rollout", "status", f"deployment/{self.ref.name}", "-n", OPERATOR_NAMESPACE, "--timeout=90s")

    def logs(self) -> str:
        """Everything that the running operators have logged."""
        return "\n".join(
            kubectl("logs", "-n", OPERATOR_NAMESPACE, pod["metadata"]["name"], "--tail=-1").stdout
            for pod in self.pods()
        )


@pytest.fixture(scope="session", autouse=True)
def bulkhead(live: Live) -> None:
    """Bulkhead as the chart installs it, with a class that tests may use."""
    # The namespace first: the chart puts the operator's right to read Secrets there into it.
    live.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SECRET_NAMESPACE}})
    if os.environ.get("BULKHEAD_TESTS_INSTALLED") != "1":  # a developer's: tests beside others, no upgrade
        install(f"secretNamespaces={{{SECRET_NAMESPACE}}}")
    live.apply(
        {
            "apiVersion": "bulkhead.dev/v1alpha1",
            "kind": "WorkspaceClass",
            "metadata": {"name": "cluster-tests"},
            "spec": {
                "defaults": {"lifecycle": {"ttl": "1h"}, "resources": FRUGAL},
                "ceilings": {"ttl": "2h", "tools": 4, "quota": {"pods": 40}},
                "allowed": {
                    "images": ["registry.invalid/*"],
                    "egressHosts": ["*.world.test"],
                    "egressCIDRs": ["203.0.113.0/24"],
                    "secretNamespaces": [SECRET_NAMESPACE],
                },
                "gateway": {"clients": [{"namespaceLabels": {"bulkhead.dev/gateway-client": "true"}}]},
            },
        }
    )


@pytest.fixture(scope="session")
def operator(live: Live, bulkhead: None) -> Operator:
    """The installed operator."""
    return Operator(live)


@pytest.fixture(scope="session")
def backend(bulkhead: None) -> Backend:
    """A pod that class `cluster-tests` lets call gateways."""
    client = Backend()
    client.ensure()
    return client


_numbers = itertools.count(1)


@contextlib.contextmanager
def _maker(live: Live) -> Iterator[Callable[..., str]]:
    made: list[str] = []

    def apply(prefix: str = "t", *, wait: bool = True, **spec: object) -> str:
        name = f"{prefix}-{next(_numbers)}"
        made.append(name)
        live.apply(workspace(name, **{"className": "cluster-tests", **spec}))
        if wait:
            ready(live, name)
        return name

    yield apply

    for name in made:
        live.delete(Ref("TenantWorkspace", name))


@pytest.fixture
def make(live: Live, bulkhead: None) -> Iterator[Callable[..., str]]:
    """Apply a workspace, of class `cluster-tests` unless another is named; deleted when the test ends."""
    with _maker(live) as apply:
        yield apply


@pytest.fixture(scope="module")
def told(live: Live, backend: Backend, request: pytest.FixtureRequest) -> Iterator[Told]:
    """Wait for one of the module's STORIES, all of which have begun."""
    with _maker(live) as make, beside(request.module.STORIES, Scene(live, backend, make)) as wait_for:
        yield wait_for


@pytest.fixture(scope="module")
def pair(live: Live) -> Iterator[tuple[str, str]]:
    """Two Ready tenants with a tool and a runtime each, shared by the tests of a module."""
    names = (f"left-{next(_numbers)}", f"right-{next(_numbers)}")
    for name in names:
        live.apply(
            workspace(
                name,
                className="cluster-tests",
                tools=[{"name": "shell"}],
                runtime={},
                access=[{"kind": "Group", "name": "developers", "role": "view"}],
            )
        )
    for name in names:
        ready(live, name)

    yield names

    for name in names:
        live.delete(Ref("TenantWorkspace", name))
