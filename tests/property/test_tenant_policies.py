"""Whatever a tenant writes into a policy: if it is left alone, it concerns only the tenant's own pods."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import assume, event, given, settings
from hypothesis import strategies as st
from support.builders import context, full
from support.oracle import Endpoint, allowed, selects

from bulkhead import names
from bulkhead.plan.tenant_policy import is_narrow
from bulkhead.render import render

if TYPE_CHECKING:
    from collections.abc import Mapping

SPEC = full()
SPACE = names.namespace(SPEC.name, SPEC.uid)
DESIRED = render(SPEC, context(SPEC)).manifests
OURS = [each for each in DESIRED if each["kind"] == "NetworkPolicy"]
ZONE = "topology.kubernetes.io/zone"
# As they come to be: the Deployment controller adds its hash, the API server the node's zone.
PODS: list[Mapping[str, str]] = [
    {**each["spec"]["template"]["metadata"]["labels"], "pod-template-hash": "6f", ZONE: "a"}
    for each in DESIRED
    if each["kind"] == "Deployment"
]
KEYS = st.sampled_from(
    [
        names.COMPONENT_LABEL,
        names.WORKSPACE_LABEL,
        names.MANAGED_BY_LABEL,
        "pod-template-hash",
        ZONE,
        "app",
        "tier",
    ]
)
VALUES = st.sampled_from(["gateway", "egress", "runtime", "tool", "acme", "bulkhead", "6f", "a", "worker"])
LABELS = st.dictionaries(KEYS, VALUES, max_size=3)
TERMS = st.lists(
    st.builds(
        lambda key, operator, values: {"key": key, "operator": operator, "values": values},
        KEYS,
        st.sampled_from(["In", "NotIn"]),
        st.lists(VALUES, min_size=1, max_size=2),
    ),
    max_size=2,
)
SELECTORS = st.builds(
    lambda labels, terms: (
        ({"matchLabels": labels} if labels else {}) | ({"matchExpressions": terms} if terms else {})
    ),
    LABELS,
    TERMS,
)
PEERS = st.one_of(
    st.builds(lambda selector: {"podSelector": selector}, SELECTORS),
    st.builds(lambda one, two: {"podSelector": one, "namespaceSelector": two}, SELECTORS, SELECTORS),
    st.just({"ipBlock": {"cidr": "0.0.0.0/0"}}),
    st.just({"namespaceSelector": {}}),
)
# Mostly what a tenant that knows the rules would write: else hardly any example would be narrow.
THEIRS = st.builds(
    lambda labels, terms: (
        {"matchLabels": {**labels, "app": "worker"}} | ({"matchExpressions": terms} if terms else {})
    ),
    LABELS,
    TERMS,
)
NARROW_PEERS = st.builds(lambda selector: {"podSelector": selector}, THEIRS)


def _rules(side: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    few = st.lists(st.one_of(NARROW_PEERS, NARROW_PEERS, PEERS), max_size=2)
    return st.lists(st.builds(lambda peers: {side: peers}, few), max_size=2)


POLICIES = st.builds(
    lambda selector, ingress, egress: {
        "kind": "NetworkPolicy",
        "metadata": {"name": "theirs", "namespace": SPACE},
        "spec": {
            "podSelector": selector,
            "policyTypes": ["Ingress", "Egress"],
            "ingress": ingress,
            "egress": egress,
        },
    },
    st.one_of(THEIRS, THEIRS, SELECTORS),
    _rules("from"),
    _rules("to"),
)


def _here(name: str, labels: Mapping[str, str]) -> Endpoint:
    space = {"kubernetes.io/metadata.name": SPACE}
    return Endpoint(name=name, namespace=SPACE, namespace_labels=space, labels=labels)


@settings(max_examples=300, deadline=None)
@given(POLICIES)
def test_a_narrow_policy_never_selects_a_pod_of_ours_nor_names_what_is_outside(
    policy: dict[str, Any],
) -> None:
    """Neither as its subject nor as a peer: no namespace, no range, no pod that carries our labels alone."""
    narrow = is_narrow(policy)
    event(f"narrow: {narrow}")
    assume(narrow)
    rules = [
        peer
        for rule in policy["spec"]["ingress"] + policy["spec"]["egress"]
        for peer in next(iter(rule.values()))
    ]

    assert not any(selects(policy["spec"]["podSelector"], pod) for pod in PODS)
    assert [peer for peer in rules if peer.keys() != {"podSelector"}] == []
    assert not any(selects(peer["podSelector"], pod) for peer in rules for pod in PODS)


@settings(max_examples=150, deadline=None)
@given(POLICIES, LABELS)
def test_a_narrow_policy_opens_nothing_to_or_from_a_pod_of_ours(
    policy: dict[str, Any], labels: dict[str, str]
) -> None:
    """Asked of an oracle for NetworkPolicies: with or without it, the same arrows touch our pods."""
    assume(is_narrow(policy))
    theirs = _here("theirs", {"app": "worker", **{k: v for k, v in labels.items() if k in {"app", "tier"}}})
    outside = [
        Endpoint(name="internet", address="8.8.8.8"),
        Endpoint(name="stranger", namespace="other", labels={"app": "worker"}),
    ]
    ours = [_here(pod[names.COMPONENT_LABEL], pod) for pod in PODS]
    pairs = [(one, other) for one in ours for other in (theirs, *outside, *ours)]
    pairs += [(theirs, one) for one in (*ours, *outside)] + [(one, theirs) for one in outside]

    opened = [
        (source.name, target.name, port)
        for source, target in pairs
        for port in (53, 443, 8000, 8080, 8082, 9443)
        if allowed([*OURS, policy], source, target, port) != allowed(OURS, source, target, port)
    ]

    assert opened == []
