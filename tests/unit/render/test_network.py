"""The arrows of the design, asked of an oracle that knows NetworkPolicy semantics and nothing of Bulkhead."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.builders import context, effective, full, manifest, model, tool
from support.oracle import Endpoint, allowed

from bulkhead import names
from bulkhead.api.gateway import ModelPods
from bulkhead.api.ranges import DENIED_CIDRS
from bulkhead.api.workspace import EgressRule
from bulkhead.api.workspace_class import GatewayClient
from bulkhead.render import render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkhead.api.effective import Effective
    from bulkhead.render import Manifest

NAMESPACE_NAME = "kubernetes.io/metadata.name"
PORTS = (53, 80, 443, 3128, 3129, 3130, 5432, 8000, 8001, 8080, 8081, 8082, 8090, 8443, 9000, 9443, 10250)
INTERNET, LISTED = "8.8.8.8", "203.0.113.9"
NOWHERE = (
    "10.1.2.3", "100.64.0.9", "127.0.0.1", "169.254.169.254", "172.16.9.9", "192.168.1.1", "168.63.129.16",
    "224.0.0.1", "255.255.255.255", "198.18.128.2", "198.19.0.7", "::1", "fd00:10::5", "fd12::1", "fe80::1",
    "ff02::1", "64:ff9b::a01:203", "64:ff9b:1::a01:203", "2002:a01:203::1",
    "2001:0:a01:203::1", "192.0.0.192",
)  # fmt: skip


def _policies(spec: Effective) -> list[Manifest]:
    rendered = render(spec, context(spec)).manifests
    return [each for each in rendered if each["kind"] == "NetworkPolicy"]


def _pod(spec: Effective, deployment: str) -> Endpoint:
    """A pod of the workspace, labelled as its Deployment's template says."""
    template = manifest(render(spec, context(spec)), "Deployment", deployment)["spec"]["template"]
    space = names.namespace(spec.name, spec.uid)
    return Endpoint(
        name=deployment,
        namespace=space,
        namespace_labels={NAMESPACE_NAME: space},
        labels=template["metadata"]["labels"],
    )


def _own(spec: Effective, labels: dict[str, str]) -> Endpoint:
    """A pod that the tenant made, with no label of ours."""
    space = names.namespace(spec.name, spec.uid)
    return Endpoint(name="own", namespace=space, namespace_labels={NAMESPACE_NAME: space}, labels=labels)


def _merged(ranges: Iterable[str]) -> list[str]:
    """The fewest ranges that cover the same addresses."""
    networks = [ipaddress.ip_network(each) for each in ranges]
    return [
        str(each)
        for version in (4, 6)
        for each in ipaddress.collapse_addresses(n for n in networks if n.version == version)  # type: ignore[type-var]
    ]


def _elsewhere(name: str, namespace: str, labels: dict[str, str], **namespace_labels: str) -> Endpoint:
    space = {NAMESPACE_NAME: namespace, **namespace_labels}
    return Endpoint(name=name, namespace=namespace, namespace_labels=space, labels=labels)


MODEL = _elsewhere("model", "models", {"app": "model"})
OTHER_POD_BY_THE_MODEL = _elsewhere("trainer", "models", {"app": "trainer"})
MODEL_ELSEWHERE = _elsewhere("twin", "other", {"app": "model"})
OPERATOR = _elsewhere("operator", "bulkhead-system", names.OPERATOR_POD_LABELS)
CANARY = _elsewhere("canary", "bulkhead-system", names.CANARY_POD_LABELS)
NEIGHBOUR_OF_OPERATOR = _elsewhere("issuer", "bulkhead-system", {"app.kubernetes.io/name": "bulkhead"})
DNS = _elsewhere("dns", "kube-system", {"k8s-app": "kube-dns"})
OTHER_SYSTEM_POD = _elsewhere("metrics", "kube-system", {"k8s-app": "metrics-server"})
BACKEND = _elsewhere("backend", "platform", {"app": "backend"}, **{names.GATEWAY_CLIENT_LABEL: "true"})
STRANGER = _elsewhere("stranger", "other", {"app": "backend", names.COMPONENT_LABEL: names.GATEWAY})


def _outside(address: str) -> Endpoint:
    return Endpoint(name=address, address=address)


def test_exactly_the_arrows_of_the_design_are_open() -> None:
    """ISO-NET-001: one missing arrow breaks a workspace, one too many breaks isolation."""
    spec = full()
    neighbour = replace(spec, name="rival", uid="11111111-2222-3333-4444-555555555555")
    mine = [_pod(spec, name) for name in ("gateway", "egress", "runtime", "tool-shell", "tool-search")]
    theirs = [replace(_pod(neighbour, each.name), name=f"rival/{each.name}") for each in mine]
    theirs.append(replace(_own(neighbour, {"app": "worker"}), name="rival/own"))
    mine.append(_own(spec, {"app": "worker"}))
    others = [OPERATOR, CANARY, NEIGHBOUR_OF_OPERATOR, DNS, OTHER_SYSTEM_POD, BACKEND, STRANGER, *theirs]
    others += [MODEL, OTHER_POD_BY_THE_MODEL, MODEL_ELSEWHERE]
    outside = [_outside(address) for address in (INTERNET, LISTED, "2001:4860::1", *NOWHERE)]
    # Neighbours' own policies are left out: what we render must suffice whatever the other side allows.
    policies = _policies(spec)

    pairs = [(a, b) for a in mine for b in (*mine, *others, *outside) if a is not b]
    pairs += [(a, b) for a in (*others, *outside) for b in mine]
    seen = {
        (source.name, target.name, port, protocol)
        for source, target in pairs
        for port in PORTS
        for protocol in ("TCP", "UDP")
        if allowed(policies, source, target, port, protocol)
    }

    dns = {(door, "dns", 53, protocol) for door in ("gateway", "egress") for protocol in ("TCP", "UDP")}
    public = {
        ("egress", host, port, "TCP") for host in (INTERNET, LISTED, "2001:4860::1") for port in (443, 8443)
    }
    guards = {(pod, "gateway", 8082, "TCP") for pod in ("runtime", "tool-shell", "tool-search", "own")}
    assert seen == dns | public | guards | {
        ("gateway", "canary", 8090, "TCP"),
        ("backend", "gateway", 8080, "TCP"),
        ("runtime", "gateway", 8080, "TCP"),
        ("operator", "gateway", 9443, "TCP"),
        ("gateway", "runtime", 8000, "TCP"),
        ("gateway", "tool-shell", 8000, "TCP"),
        ("gateway", "tool-search", 9000, "TCP"),
        ("gateway", "model", 8001, "TCP"),
        ("runtime", "egress", 3128, "TCP"),
        ("tool-search", "egress", 3130, "TCP"),
        ("egress", LISTED, 5432, "TCP"),
    }


def test_a_models_labels_never_mean_a_workspaces_pods() -> None:
    """ISO-NET-002: whatever an administrator's labels match, another tenant's pods are not among it."""
    pods = ModelPods(
        namespace_labels={"pod-security.kubernetes.io/enforce": "restricted"},
        pod_labels={names.COMPONENT_LABEL: names.TOOL},
        port=8000,
    )
    spec = effective(model=model(pods=pods))
    rival = effective(name="rival", uid="11111111-2222-3333-4444-555555555555", tools=(tool("shell"),))
    space = manifest(render(rival, context(rival)), "Namespace", names.namespace(rival.name, rival.uid))
    victim = replace(_pod(rival, "tool-shell"), namespace_labels=space["metadata"]["labels"])
    meant = replace(victim, namespace="models", namespace_labels=pods.namespace_labels)

    # The rival's own policies are left out: what we render must suffice.
    reached = [allowed(_policies(spec), _pod(spec, "gateway"), each, 8000) for each in (victim, meant)]

    assert reached == [False, True]


@pytest.mark.parametrize(
    ("url", "port"),
    [
        ("https://llm.example.com/v1", 443),
        ("http://llm.example.com/v1", 80),
        ("https://llm.example.com:8443/v1", 8443),
        ("http://[2001:db8::7]:8000/v1", 8000),
    ],
)
def test_a_model_outside_is_reached_in_its_ranges_on_its_urls_port_only(url: str, port: int) -> None:
    """ISO-NET-006: by the gateway alone, and never in the cluster or at a metadata service."""
    outside = model(url=url, pods=None, cidrs=("10.20.0.0/16", "198.0.0.0/8", "fd00::/8"))
    spec = effective(model=outside, tools=(tool("shell"),))
    inside = ("10.20.3.4", "198.51.100.7", "fd12:3::4")
    beside = ("10.21.0.1", "198.18.7.7", "fd00:10::5", "fd00:ec2::254", "169.254.169.254", LISTED, INTERNET)

    reached = {
        (name, address, each)
        for name in ("gateway", "tool-shell")
        for address in (*inside, *beside)
        for each in PORTS
        if allowed(_policies(spec), _pod(spec, name), _outside(address), each)
    }

    assert reached == {("gateway", address, port) for address in inside}


def test_a_model_inside_the_cluster_by_range_opens_nothing() -> None:
    """Pods are named by labels; a range over them would reach every pod of every tenant."""
    spec = effective(model=model(pods=None, cidrs=("198.18.7.0/24",)))

    policy = manifest(render(spec, context(spec)), "NetworkPolicy", "gateway")

    assert [rule for rule in policy["spec"]["egress"] if "ipBlock" in rule["to"][0]] == []


def test_two_tenants_cannot_reach_each_other_under_both_ones_policies() -> None:
    """ISO-NET-002: not even with two workspaces' policies taken together."""
    spec = full()
    rival = replace(spec, name="rival", uid="11111111-2222-3333-4444-555555555555")
    policies = _policies(spec) + _policies(rival)
    components = ("gateway", "egress", "runtime", "tool-shell", "tool-search")

    crossing = [
        (one, other, port)
        for one in components
        for other in components
        for port in PORTS
        if allowed(policies, _pod(spec, one), _pod(rival, other), port)
    ]

    assert crossing == []


@pytest.mark.parametrize("reading", ["ipBlock matches pods", "ipBlock never matches pods"])
def test_pods_and_services_stay_closed_under_both_readings_of_ip_block(reading: str) -> None:
    """ISO-NET-003: engines differ in whether an ipBlock covers cluster addresses; both must be safe."""
    spec = full()
    address = "198.19.0.7" if reading == "ipBlock matches pods" else None
    pod = Endpoint(name="victim", namespace="other", labels={"app": "db"}, address=address)

    reached = [port for port in PORTS if allowed(_policies(spec), _pod(spec, "egress"), pod, port)]

    assert reached == []


def test_a_range_that_covers_the_cluster_is_opened_without_it() -> None:
    """ISO-NET-004: an allowed CIDR around the cluster's own range must not open the cluster."""
    spec = effective(tools=(tool("wide", egress=(EgressRule(cidr="198.0.0.0/8", ports=(443,)),)),))
    egress = _pod(spec, "egress")
    policies = _policies(spec)

    assert allowed(policies, egress, _outside("198.51.100.1"), 443)
    assert not allowed(policies, egress, _outside("198.18.128.2"), 443)
    assert not allowed(policies, egress, _outside("198.19.255.255"), 443)


def test_a_range_inside_a_denied_one_opens_nothing() -> None:
    """ISO-NET-005: an ipBlock whose `except` covers it all is refused by the API; the rule must vanish."""
    spec = effective(tools=(tool("inside", egress=(EgressRule(cidr="198.18.7.0/24", ports=(443,)),)),))

    policy = manifest(render(spec, context(spec)), "NetworkPolicy", "egress")

    assert [rule for rule in policy["spec"]["egress"] if "ipBlock" in rule["to"][0]] == []


def test_no_rule_is_ever_without_peers_or_ports() -> None:
    """An absent or empty peer list means everybody, an absent port list every port."""
    for spec in (effective(gateway_clients=()), effective(), full()):
        for policy in _policies(spec):
            for rule in policy["spec"].get("ingress", []):
                assert rule["from"], policy["metadata"]["name"]
                assert rule["ports"], policy["metadata"]["name"]
            for rule in policy["spec"].get("egress", []):
                assert rule["to"], policy["metadata"]["name"]
                assert rule["ports"], policy["metadata"]["name"]


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"app": "worker"},
        {names.COMPONENT_LABEL: names.CANARY},
        {names.COMPONENT_LABEL: names.TOOL, names.TOOL_LABEL: "shell"},
    ],
    ids=["bare", "own", "forged canary", "forged tool"],
)
def test_a_pod_that_a_tenant_makes_reaches_the_guards_port_and_no_canary(labels: dict[str, str]) -> None:
    """Its guard would wait for ever without the one, and prove nothing with the other."""
    spec = effective(tools=(tool("shell"),))
    policies, own = _policies(spec), _own(spec, labels)

    opened = [port for port in PORTS if allowed(policies, own, _pod(spec, "gateway"), port)]

    assert opened == [names.GATEWAY_GUARD_PORT]
    assert not any(allowed(policies, own, CANARY, port) for port in PORTS)


def test_a_pod_with_a_doors_label_gets_no_guards_arrow() -> None:
    """Gateway and egress never ask themselves: an arrow that nobody needs is not drawn."""
    spec = full()
    policies = _policies(spec)

    assert not allowed(policies, _pod(spec, "egress"), _pod(spec, "gateway"), names.GATEWAY_GUARD_PORT)


def test_another_tenants_guard_is_not_answered() -> None:
    """ISO-NET-002: the port tells who lives in the operator's namespace; a neighbour has its own gateway."""
    spec = full()
    rival = replace(spec, name="rival", uid="11111111-2222-3333-4444-555555555555")
    policies = _policies(spec) + _policies(rival)

    reached = [
        one
        for one in ("gateway", "egress", "runtime", "tool-shell", "tool-search")
        if allowed(policies, _pod(rival, one), _pod(spec, "gateway"), names.GATEWAY_GUARD_PORT)
    ]

    assert reached == []


def test_default_deny_has_no_empty_lists() -> None:
    """`ingress: []` bumps the generation on every apply: an endless loop with a watch on it."""
    policy = manifest(render(effective(), context()), "NetworkPolicy", names.DEFAULT_DENY)

    assert policy["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_a_client_without_namespace_labels_is_nobody() -> None:
    """An empty namespaceSelector would be every namespace of the cluster."""
    everyone = GatewayClient.model_construct(namespace_labels={}, pod_labels={})
    spec = effective(gateway_clients=(everyone,))

    assert not allowed(_policies(spec), BACKEND, _pod(spec, "gateway"), names.GATEWAY_PORT)


def test_pod_labels_of_a_client_narrow_it() -> None:
    """Both selectors must hold; written as two peers they would be alternatives."""
    client = GatewayClient(
        namespace_labels={names.GATEWAY_CLIENT_LABEL: "true"}, pod_labels={"app": "backend"}
    )
    spec = effective(gateway_clients=(client,))
    gateway = _pod(spec, "gateway")
    other_pod = replace(BACKEND, labels={"app": "frontend"})

    assert allowed(_policies(spec), BACKEND, gateway, names.GATEWAY_PORT)
    assert not allowed(_policies(spec), other_pod, gateway, names.GATEWAY_PORT)


def test_every_denied_range_is_subtracted_from_anywhere() -> None:
    """ISO-NET-006: a range that is missing here is a way to metadata or to the platform's own network."""
    policy = manifest(render(full(), context(full())), "NetworkPolicy", "egress")
    blocks = [to["ipBlock"] for rule in policy["spec"]["egress"] for to in rule["to"] if "ipBlock" in to]
    anywhere = {block["cidr"]: block["except"] for block in blocks if block["cidr"] in {"0.0.0.0/0", "::/0"}}

    subtracted = anywhere["0.0.0.0/0"] + anywhere["::/0"]

    mapped = "::ffff:0:0/96"  # the API server refuses it in an ipBlock, and no packet carries it
    assert _merged(subtracted) == _merged({*DENIED_CIDRS, "198.18.0.0/15"} - {mapped})
