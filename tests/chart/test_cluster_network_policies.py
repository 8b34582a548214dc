"""The second belt: between workspaces, before every NetworkPolicy, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkhead import names

from .conftest import CHART, NAMESPACE, Helm

if TYPE_CHECKING:
    from .conftest import Rendered

API = "policy.networking.k8s.io/v1alpha2"
KIND = "ClusterNetworkPolicy"
ON = "clusterNetworkPolicy.enabled=true"
MARKS = st.integers(0, 16**5 - 1).map(lambda number: f"{number:05x}")
DNS = {"kubernetes.io/metadata.name": "kube-system"}
OPERATORS = {"kubernetes.io/metadata.name": NAMESPACE}
BACKEND = {"kubernetes.io/metadata.name": "platform", names.GATEWAY_CLIENT_LABEL: "true"}


@pytest.fixture(scope="module")
def belt(helm: Helm) -> list[dict[str, Any]]:
    """The policies' specs."""
    return [each["spec"] for each in _belted(helm).all(KIND)]


def _belted(helm: Helm, *values: str) -> Rendered:
    return helm(ON, *values, capabilities=(f"{API}/{KIND}",))


def _workspace(mark: str) -> dict[str, str]:
    name = f"bh-acme-{mark}"
    return {
        "kubernetes.io/metadata.name": name,
        **names.workspace_labels("acme", "uid"),
        **names.belt_labels(name),
    }


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    assert {"matchLabels"} == set(selector)
    return bool(selector["matchLabels"].items() <= labels.items())


def _denied(belt: list[dict[str, Any]], source: dict[str, str], target: dict[str, str]) -> tuple[bool, bool]:
    """Whether a packet is dropped on its way out, and on its way in."""

    def met(direction: str, peers: str, subject: dict[str, str], peer: dict[str, str]) -> bool:
        return any(
            _selects(spec["subject"]["namespaces"], subject)
            and any(_selects(each["namespaces"], peer) for rule in spec[direction] for each in rule[peers])
            for spec in belt
        )

    return met("egress", "to", source, target), met("ingress", "from", target, source)


@given(one=MARKS, other=MARKS)
@example(one="00000", other="00001")
@example(one="0feed", other="0feed")
def test_workspaces_of_different_marks_are_apart_both_ways(
    belt: list[dict[str, Any]], one: str, other: str
) -> None:
    """A pair that no policy covers; or a workspace that is cut off from itself."""
    assert (one != other,) * 2 == _denied(belt, _workspace(one), _workspace(other))


@pytest.mark.parametrize("peer", [DNS, OPERATORS, BACKEND], ids=["dns", "operator and canaries", "backend"])
def test_nothing_but_workspaces_is_touched(belt: list[dict[str, Any]], peer: dict[str, str]) -> None:
    """DNS, canaries, the operator's question and the platform's sessions come from and go to elsewhere."""
    workspace = _workspace("0feed")

    assert (False, False) == _denied(belt, workspace, peer) == _denied(belt, peer, workspace)


def test_the_belt_only_denies_and_goes_first(belt: list[dict[str, Any]]) -> None:
    """An Accept of the admin tier would overrule every NetworkPolicy of the cluster."""
    actions = {rule["action"] for spec in belt for way in ("ingress", "egress") for rule in spec[way]}

    assert {"Deny"} == actions
    assert {("Admin", 100)} == {(spec["tier"], spec["priority"]) for spec in belt}


def test_its_place_in_the_tier_can_be_chosen(helm: Helm) -> None:
    """An administrator's own policies of the tier may have to go before it."""
    found = {each["spec"]["priority"] for each in _belted(helm, "clusterNetworkPolicy.priority=7").all(KIND)}

    assert {7} == found


def test_without_being_asked_for_there_is_none(helm: Helm) -> None:
    """Most clusters do not have the kind: the chart must install there."""
    assert [] == helm().all(KIND)
    assert [] == helm(capabilities=(f"{API}/{KIND}",)).all(KIND)


@pytest.mark.parametrize("capabilities", [(), ("policy.networking.k8s.io/v1alpha1/AdminNetworkPolicy",)])
def test_without_the_api_it_is_refused_in_words(helm: Helm, capabilities: tuple[str, ...]) -> None:
    """`no matches for kind` after half an installation, or, worse, a belt that is believed in."""
    said = helm.refusal(ON, capabilities=capabilities)

    assert f"this cluster has no {KIND} ({API})" in said
    assert "leave it false" in said


def test_the_page_tells_how_many_policies_there_are(belt: list[dict[str, Any]]) -> None:
    """`kubectl get clusternetworkpolicies` shows them all: nobody should have to count."""
    page = (CHART.parents[1] / "docs/networking.md").read_text()

    assert f"{len(belt)} policies of kind ClusterNetworkPolicy" in " ".join(page.split())
