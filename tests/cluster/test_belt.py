"""ISO-NET-010: the belt holds where every NetworkPolicy between two tenants is open."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

from kubelive import Live, kubectl, wait_until
from kubelive.backend import Backend, can_connect
from kubelive.install import OPERATOR_NAMESPACE, RELEASE, ROOT, helm
from kubelive.sabotage import SABOTAGES
from kubelive.workspaces import namespace_of, pod_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Operator

PORT: Final = 8000  # of tools
GATEWAY: Final = 8080
CANARY: Final = 8090
ENGINE_SECONDS: Final = 20.0

(OPEN_EVERYTHING,) = (each for each in SABOTAGES if "second, allow-all NetworkPolicy" in each.title)


@dataclass(frozen=True, slots=True)
class Place:
    """A pod and its address."""

    namespace: str
    pod: str
    address: str

    def reaches(self, address: str, port: int) -> bool:
        """Whether its own connection is accepted."""
        return can_connect(self.namespace, self.pod, address, port)


def _place(live: Live, workspace: str, component: str) -> Place:
    pod: dict[str, Any] = pod_of(live, namespace_of(live, workspace), component)
    return Place(pod["metadata"]["namespace"], pod["metadata"]["name"], pod["status"]["podIP"])


@pytest.fixture
def belt() -> Iterator[Callable[[str], None]]:
    """`kubectl <verb>` on the belt as the chart renders it for this cluster; gone when the test ends."""
    manifests = helm(
        "template", RELEASE, str(ROOT / "charts/bulkhead"), "--namespace", OPERATOR_NAMESPACE,
        "--set", "clusterNetworkPolicy.enabled=true", "--dry-run=server",
        "--show-only", "templates/clusternetworkpolicies.yaml",
    )  # fmt: skip

    def run(verb: str) -> None:
        kubectl(verb, "-f", "-", *(["--ignore-not-found"] if verb == "delete" else []), stdin=manifests)

    try:
        yield run
    finally:
        run("delete")


@pytest.fixture
def opened(live: Live, pair: tuple[str, str], operator: Operator) -> Iterator[tuple[str, str]]:
    """Two tenants in which somebody who broke the glass allowed everything, and nobody who repairs it."""
    operator.stop()
    try:
        for name in pair:
            OPEN_EVERYTHING.strike(Live.break_glass(live.kubeconfig), namespace_of(live, name))
        yield pair
    finally:
        operator.start()


def test_the_belt_holds_where_every_policy_is_open(
    live: Live, opened: tuple[str, str], belt: Callable[[str], None], backend: Backend
) -> None:
    """Policies add up: what opens a way between two tenants must be overruled, and nothing else."""
    left, right = (_place(live, name, "tool") for name in opened)
    door = _place(live, opened[1], "gateway")
    canary = live.items("Pod", OPERATOR_NAMESPACE, selector="app.kubernetes.io/component=canary")[0]
    outside = Place(backend.namespace, backend.pod, "")
    across = [partial(left.reaches, right.address, PORT), partial(left.reaches, door.address, GATEWAY)]
    across += [partial(right.reaches, left.address, PORT), partial(door.reaches, left.address, PORT)]
    lawful = {
        "gateway to its tool": partial(door.reaches, right.address, PORT),
        "tool to its gateway": partial(right.reaches, door.address, GATEWAY),
        "backend to a gateway": partial(outside.reaches, door.address, GATEWAY),
        "gateway to a canary": partial(door.reaches, canary["status"]["podIP"], CANARY),
    }

    def all_open() -> bool:
        return all(each() for each in across)

    wait_until("ways between the tenants", all_open, timeout_seconds=ENGINE_SECONDS)
    belt("apply")
    wait_until("the belt", lambda: not any(each() for each in across), timeout_seconds=60)

    assert [False] * len(across) == [each() for each in across]
    assert dict.fromkeys(lawful, True) == {name: each() for name, each in lawful.items()}
    belt("delete")
    wait_until("the ways again, without the belt", all_open, timeout_seconds=ENGINE_SECONDS)
