"""A tenant may open ways between its own pods and nothing else; admission and repair say the same words."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest
from support.tenant_spaces import Space, refusal_of, space

from bulkhead import names
from bulkhead.plan.tenant_policy import is_narrow
from kubelive import ApiRefusal, Live

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Spec = dict[str, Any]
THEIRS: Spec = {"podSelector": {"matchLabels": {"app": "worker"}}}
DOOR: Spec = {"podSelector": {"matchLabels": {names.COMPONENT_LABEL: "gateway"}}}
ZONE: Spec = {"podSelector": {"matchLabels": {"topology.kubernetes.io/zone": "a"}}}
CONTROL: Spec = {
    **THEIRS,
    "policyTypes": ["Ingress", "Egress"],
    "ingress": [{"from": [THEIRS], "ports": [{"port": 9000}]}],
    "egress": [{"to": [THEIRS, {"podSelector": {"matchLabels": {"tier": "db", "app": "x"}}}]}],
}
OTHER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "bh-other-00000"}}}


SELECTOR = "spec.podSelector.matchLabels"
NOT_PODS = "[]: must be a podSelector only"
NOT_THEIRS = "[].podSelector.matchLabels"


def _by(**labels: str) -> Spec:
    return {"podSelector": {"matchLabels": labels}}


def _rule(side: str, peer: Spec) -> Callable[[Spec], object]:
    direction = {"from": "ingress", "to": "egress"}[side]
    return lambda spec: spec[direction][0][side].append(peer)


WIDE: list[tuple[str, Callable[[Spec], object], str]] = [
    ("every pod", lambda s: s.update(podSelector={}), SELECTOR),
    ("the gateway", lambda s: s.update(DOOR), SELECTOR),
    ("every pod of a zone", lambda s: s.update(ZONE), SELECTOR),
    ("our own label", lambda s: s.update(_by(**{names.MANAGED_BY_LABEL: names.MANAGED_BY})),
     SELECTOR),
    ("a hash of ours", lambda s: s.update(podSelector={"matchLabels": {"pod-template-hash": "6f"}}),
     SELECTOR),
    ("by expression only", lambda s: s.update(
        podSelector={"matchExpressions": [{"key": "app", "operator": "Exists"}]}), SELECTOR),
    ("from everybody", lambda s: s.update(ingress=[{}]), "spec.ingress[].from"),
    ("from everybody by port", lambda s: s.update(ingress=[{"ports": [{"port": 1}]}]), "spec.ingress[].from"),
    ("a second rule from everybody", lambda s: s["ingress"].append({}), "spec.ingress[].from"),
    ("to everybody", lambda s: s.update(egress=[{}]), "spec.egress[].to"),
    ("to an empty list", lambda s: s.update(egress=[{"to": []}]), "spec.egress[].to"),
    *((f"{side} another namespace", _rule(side, OTHER), f".{side}{NOT_PODS}")
      for side in ("from", "to")),
    *((f"{side} pods elsewhere", _rule(side, {**OTHER, **THEIRS}), f".{side}{NOT_PODS}")
      for side in ("from", "to")),
    *((f"{side} an address", _rule(side, {"ipBlock": {"cidr": "169.254.169.254/32"}}),
       f".{side}{NOT_PODS}") for side in ("from", "to")),
    *((f"{side} every pod here", _rule(side, {"podSelector": {}}), f".{side}{NOT_THEIRS}")
      for side in ("from", "to")),
    *((f"{side} the gateway", _rule(side, DOOR), f".{side}{NOT_THEIRS}") for side in ("from", "to")),
    *((f"{side} a zone", _rule(side, ZONE), f".{side}{NOT_THEIRS}") for side in ("from", "to")),
]  # fmt: skip
NARROW: list[tuple[str, Callable[[Spec], object]]] = [
    ("as it is", lambda _: None),
    ("ours beside theirs", lambda s: s.update(
        podSelector={"matchLabels": {"app": "worker", names.COMPONENT_LABEL: "runtime"}})),
    ("one direction", lambda s: s.pop("egress")),
    ("a denial", lambda s: s.update(ingress=[], egress=[])),
    ("narrower by expression", lambda s: s["podSelector"].update(
        matchExpressions=[{"key": "tier", "operator": "NotIn", "values": ["db"]}])),
]  # fmt: skip


@pytest.fixture(scope="module")
def where(glass: Live) -> Iterator[Space]:
    """A workspace's namespace with its admin."""
    with space(glass) as found:
        yield found


def policy(where: Space, spec: Spec, name: str = "workers") -> Spec:
    """A NetworkPolicy of the tenant's."""
    return where.manifest("NetworkPolicy", name, spec=spec)


@pytest.mark.parametrize("edit", [case[1] for case in NARROW], ids=[case[0] for case in NARROW])
def test_a_narrow_policy_goes_in(where: Space, edit: Callable[[Spec], object]) -> None:
    """Self-service; what admission lets in, the operator must not delete a moment later."""
    spec = copy.deepcopy(CONTROL)
    edit(spec)

    assert (201, "") == refusal_of(where.lead, policy(where, spec))
    assert is_narrow(policy(where, spec))


@pytest.mark.parametrize(("edit", "field"), [case[1:] for case in WIDE], ids=[case[0] for case in WIDE])
def test_a_policy_that_widens_is_refused(where: Space, edit: Callable[[Spec], object], field: str) -> None:
    """Policies add up: each of these would open a way that the operator never declared."""
    spec = copy.deepcopy(CONTROL)
    edit(spec)

    status, message = refusal_of(where.lead, policy(where, spec))

    assert 403 == status
    assert "ValidatingAdmissionPolicy 'bulkhead-tenant-network-policies'" in message
    assert field in message
    assert not is_narrow(policy(where, spec))


@pytest.mark.parametrize("user", ["admin", "controller"])
def test_nobody_else_widens_either(where: Space, user: str, request: pytest.FixtureRequest) -> None:
    """An administrator who means well, or a policy tool's controller, would open a tenant to the world."""
    live: Live = request.getfixturevalue(user)

    status, _ = refusal_of(live, policy(where, {"podSelector": {}, "egress": [{}]}))

    assert 403 == status


def test_a_broken_glass_lets_it_pass(where: Space, glass: Live) -> None:
    """Else nobody could repair a workspace by hand while the operator is down."""
    assert (201, "") == refusal_of(glass, policy(where, {"podSelector": {}, "egress": [{}]}))


def test_a_policy_cannot_be_widened_later(where: Space) -> None:
    """An update is as good as a new policy."""
    where.lead.create(policy(where, CONTROL, "later"))
    path = f"/apis/networking.k8s.io/v1/namespaces/{where.name}/networkpolicies/later"
    merge = "application/merge-patch+json"

    where.lead.call("PATCH", path, {"metadata": {"labels": {"a": "b"}}}, content_type=merge)
    with pytest.raises(ApiRefusal) as refused:
        where.lead.call("PATCH", path, {"spec": {"podSelector": None}}, content_type=merge)

    assert (403, True) == (refused.value.status, "spec.podSelector.matchLabels" in refused.value.message)
