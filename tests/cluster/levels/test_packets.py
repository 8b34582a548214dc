"""ISO-NET: packets from every pod of a workspace, in each level, to everything that a packet can be sent to.

Every target is proved to answer: what is outside, to a pod that no policy fences; what is inside a workspace,
to the one that may call it there. So silence is the policy's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.arrows import SILENT, Stranger, doors_of, expected_from, operators_own, outside, sent_by
from support.levels import SOURCES, Tenant
from support.packets import OPEN, Place, Target, probe

if TYPE_CHECKING:
    from kubelive import Live
    from kubelive.backend import Backend


@pytest.fixture(scope="module")
def around(live: Live, stranger: Stranger) -> dict[str, Target]:
    """Everything that is no workspace's, the operator's own listeners included."""
    return outside(live, stranger) | operators_own(live)[1]


@pytest.fixture(scope="module")
def seen(
    live: Live, tenants: dict[str, Tenant], around: dict[str, Target]
) -> dict[tuple[str, str], dict[str, str]]:
    """Level and source -> target -> outcome; all sent before the first is judged."""
    return sent_by(tenants, around, live)


def test_everything_outside_answers_a_pod_without_fence(
    live: Live, stranger: Stranger, around: dict[str, Target]
) -> None:
    """The control: without it, "blocked" could mean "nothing listens"."""
    operator, its_own = operators_own(live)
    targets = {name: target for name, target in around.items() if name not in its_own}

    assert dict.fromkeys(targets, OPEN) == probe(stranger.place, targets, wanted=targets)
    assert dict.fromkeys(its_own, OPEN) == probe(operator, its_own, wanted=its_own)


@pytest.mark.parametrize("source", SOURCES)
def test_only_declared_arrows_carry_packets(
    tenant: Tenant, source: str, seen: dict[tuple[str, str], dict[str, str]]
) -> None:
    """ISO-NET-001, 002, 004, 005: one arrow too many breaks isolation, one missing breaks the workspace."""
    found = seen[tenant.level, source]

    assert expected_from(tenant.level, source, found) == found


def test_nobody_outside_reaches_a_workspace_but_the_clients_of_its_class(
    live: Live, tenants: dict[str, Tenant], stranger: Stranger, backend: Backend
) -> None:
    """ISO-NET-003: a client reaches the gateway's one port, and a stranger not even that."""
    targets = doors_of(tenants.values(), live)
    for_clients = [name for name in targets if "gateway:8080" in name]

    from_client = probe(Place(backend.namespace, backend.pod, "backend"), targets, wanted=for_clients)
    from_stranger = probe(stranger.place, targets)

    assert {name: OPEN if name in for_clients else SILENT for name in targets} == from_client
    assert dict.fromkeys(targets, SILENT) == from_stranger


def test_the_operator_reaches_its_own_port_of_gateways_only(live: Live, tenants: dict[str, Tenant]) -> None:
    """ISO-NET-003: it asks for the last session; who takes it over gets no further by the network."""
    operator, _ = operators_own(live)
    targets = doors_of(tenants.values(), live)
    its_port = [name for name in targets if "gateway:9443" in name]

    found = probe(operator, targets, wanted=its_port)

    assert {name: OPEN if name in its_port else SILENT for name in targets} == found
