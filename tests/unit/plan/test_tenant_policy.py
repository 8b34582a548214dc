"""Which policies a tenant may add: a table of one control and one change a row."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead import names
from bulkhead.plan.tenant_policy import is_narrow

if TYPE_CHECKING:
    from collections.abc import Callable

THEIRS = {"podSelector": {"matchLabels": {"app": "worker"}}}
# Opens pod to pod between the tenant's own pods, in both directions: what the feature is for.
CONTROL: dict[str, Any] = {
    "kind": "NetworkPolicy",
    "metadata": {"name": "workers", "namespace": "bh-acme-00000"},
    "spec": {
        "podSelector": {"matchLabels": {"app": "worker", names.COMPONENT_LABEL: "runtime"}},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [THEIRS], "ports": [{"port": 9000}]}],
        "egress": [{"to": [THEIRS, {"podSelector": {"matchLabels": {"tier": "db", "app": "x"}}}]}],
    },
}
SELECTOR: dict[str, Any] = {"podSelector": {"matchLabels": {names.COMPONENT_LABEL: "gateway"}}}


def _from(spec: dict[str, Any]) -> list[Any]:
    peers: list[Any] = spec["ingress"][0]["from"]
    return peers


def _to(spec: dict[str, Any]) -> list[Any]:
    peers: list[Any] = spec["egress"][0]["to"]
    return peers


WIDE: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("every pod", lambda s: s.update(podSelector={})),
    ("no selector", lambda s: s.pop("podSelector")),
    ("by our component", lambda s: s.update(SELECTOR)),
    ("by our workspace", lambda s: s.update(
        podSelector={"matchLabels": {names.WORKSPACE_LABEL: "acme"}})),
    ("by managed-by", lambda s: s.update(podSelector={"matchLabels": {names.MANAGED_BY_LABEL: "bulkhead"}})),
    ("by template hash", lambda s: s.update(podSelector={"matchLabels": {"pod-template-hash": "6f"}})),
    ("by zone", lambda s: s.update(podSelector={"matchLabels": {"topology.kubernetes.io/zone": "a"}})),
    ("by all of ours", lambda s: s.update(podSelector={"matchLabels": {
        names.MANAGED_BY_LABEL: "bulkhead", names.TOOL_LABEL: "shell", "pod-template-hash": "6f"}})),
    ("by expression only", lambda s: s.update(
        podSelector={"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]})),
    ("ingress from everybody", lambda s: s.update(ingress=[{}])),
    ("ingress with ports only", lambda s: s.update(ingress=[{"ports": [{"port": 9000}]}])),
    ("ingress from an empty list", lambda s: s.update(ingress=[{"from": []}])),
    ("second ingress rule open", lambda s: s["ingress"].append({})),
    ("egress to everybody", lambda s: s.update(egress=[{}])),
    ("egress to an empty list", lambda s: s.update(egress=[{"to": []}])),
    ("egress rule that names `from`", lambda s: s.update(egress=[{"from": [THEIRS]}])),
    ("from another namespace", lambda s: _from(s).append({"namespaceSelector": {}})),
    ("from that namespace's pods", lambda s: _from(s).append({**THEIRS, "namespaceSelector": {}})),
    ("from a range", lambda s: _from(s).append({"ipBlock": {"cidr": "10.0.0.0/8"}})),
    ("from every pod here", lambda s: _from(s).append({"podSelector": {}})),
    ("from our pods", lambda s: _from(s).append(SELECTOR)),
    ("from nobody in particular", lambda s: _from(s).append({})),
    ("to another namespace", lambda s: _to(s).append({"namespaceSelector": {"matchLabels": {"a": "b"}}})),
    ("to one address", lambda s: _to(s).append({"ipBlock": {"cidr": "169.254.169.254/32"}})),
    ("to every pod here", lambda s: _to(s).append({"podSelector": {}})),
    ("to our pods", lambda s: _to(s).append(SELECTOR)),
    ("to all but", lambda s: _to(s).append(
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]}})),
    ("an unknown field", lambda s: s.update(tier="admin")),
    ("an unknown field of a rule", lambda s: s["ingress"][0].update(action="Allow")),
]  # fmt: skip


def test_a_policy_between_the_tenants_own_pods_is_narrow() -> None:
    """Self-service would not work at all; every row below changes one thing of it."""
    assert is_narrow(CONTROL)


@pytest.mark.parametrize("edit", [case[1] for case in WIDE], ids=[case[0] for case in WIDE])
def test_whatever_may_mean_more_than_the_tenants_own_pods_is_not(
    edit: Callable[[dict[str, Any]], object],
) -> None:
    """Policies add up: each of these would open a way that the design does not have."""
    policy = copy.deepcopy(CONTROL)
    edit(policy["spec"])

    assert not is_narrow(policy)


NARROW: list[tuple[str, Callable[[dict[str, Any]], object]]] = [
    ("one direction", lambda s: s.pop("ingress")),
    ("no rule", lambda s: (s.pop("ingress"), s.pop("egress"))),
    ("expressions beside a label", lambda s: s["podSelector"].update(
        matchExpressions=[{"key": names.COMPONENT_LABEL, "operator": "DoesNotExist"}])),
    ("empty lists of rules", lambda s: s.update(ingress=[], egress=None)),
]  # fmt: skip


@pytest.mark.parametrize("edit", [case[1] for case in NARROW], ids=[case[0] for case in NARROW])
def test_what_only_takes_away_stays_narrow(edit: Callable[[dict[str, Any]], object]) -> None:
    """A denial, or a narrower selector, harms nobody but the tenant."""
    policy = copy.deepcopy(CONTROL)
    edit(policy["spec"])

    assert is_narrow(policy)


def test_a_policy_without_a_spec_is_not_narrow() -> None:
    """What says nothing selects every pod."""
    assert not is_narrow({"kind": "NetworkPolicy", "metadata": {"name": "x"}})
