"""NetworkPolicies: every arrow of the design and no other.

Written for what the API really means: an absent peer list allows everyone, so a rule without peers is never
written; an empty `ingress: []` bumps the generation on every apply, so a policy without rules leaves the list
out and `policyTypes` alone denies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from bulkhead import names
from bulkhead.api.ranges import NEVER_A_SERVER, denied_within
from bulkhead.render.egress import denied_ranges, route_of, routes
from bulkhead.render.meta import metadata, selector

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bulkhead.api.effective import Effective
    from bulkhead.api.gateway import SharedModel
    from bulkhead.api.workspace import Tool
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Manifest

__all__ = ["network_policies"]

_NAMESPACE_NAME: Final = (
    "kubernetes.io/metadata.name"  # set by the API server, not by whoever made the namespace
)
_ANYWHERE: Final = ("0.0.0.0/0", "::/0")
_PORT_OF_SCHEME: Final = {"http": 80, "https": 443}


def network_policies(effective: Effective, context: RenderContext) -> tuple[Manifest, ...]:
    """Default-deny both ways, the arrow of every guard, then one policy a component."""
    policies = [_default_deny(effective), _guard(effective), _gateway(effective, context)]
    if routes(effective):
        policies.append(_egress(effective, context))
    if effective.runtime is not None:
        policies.append(_runtime(effective))
    policies += [_tool(effective, tool) for tool in effective.tools]
    return tuple(policies)


def _default_deny(effective: Effective) -> Manifest:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(effective, names.DEFAULT_DENY),
        "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
    }


def _guard(effective: Effective) -> Manifest:
    """Whatever is not gateway or egress, pods that tenants make included, may ask which canaries live."""
    doors = {"key": names.COMPONENT_LABEL, "operator": "NotIn", "values": [names.GATEWAY, names.EGRESS]}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(effective, names.GUARD),
        "spec": {
            "podSelector": {"matchExpressions": [doors]},
            "policyTypes": ["Egress"],
            "egress": [_to([_pods(names.GATEWAY)], [names.GATEWAY_GUARD_PORT])],
        },
    }


def _gateway(effective: Effective, context: RenderContext) -> Manifest:
    clients = [
        {
            "namespaceSelector": {"matchLabels": dict(sorted(client.namespace_labels.items()))},
            "podSelector": {"matchLabels": dict(sorted(client.pod_labels.items()))}
            if client.pod_labels
            else {},
        }
        for client in effective.gateway_clients
        if client.namespace_labels  # an empty selector would mean every namespace: never
    ]
    operator = {
        "namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: context.operator_namespace}},
        "podSelector": {"matchLabels": dict(names.OPERATOR_POD_LABELS)},
    }
    canaries = {
        "namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: context.operator_namespace}},
        "podSelector": {"matchLabels": dict(names.CANARY_POD_LABELS)},
    }
    runtime = [_pods(names.RUNTIME)] if effective.runtime is not None else []
    return _policy(
        effective,
        names.GATEWAY,
        names.GATEWAY,
        ingress=[
            _from([*clients, *runtime], [names.GATEWAY_PORT]),
            _from([_any_pod_here()], [names.GATEWAY_GUARD_PORT]),
            _from([operator], [names.GATEWAY_OPERATOR_PORT]),
        ],
        egress=[
            _dns(context),
            _to([canaries], [names.CANARY_PORT]),
            _to(runtime, [names.RUNTIME_PORT]),
            *(_to([_pods(names.TOOL, tool.name)], [tool.port]) for tool in effective.tools),
            *([] if effective.model is None else [_shared_model(effective.model, context)]),
        ],
    )


def _shared_model(model: SharedModel, context: RenderContext) -> Manifest:
    """The administrator's server: its pods, or its ranges, on its port.

    Whatever labels are given, a workspace's pods are never meant: its namespace carries the UID.
    """
    if model.pods is None:
        denied = (*NEVER_A_SERVER, *context.cluster_cidrs)
        open_ranges = [(cidr, denied_within(cidr, denied)) for cidr in model.cidrs]
        blocks = [
            {"cidr": cidr, "except": list(closed)} if closed else {"cidr": cidr}
            for cidr, closed in open_ranges
            if closed is not None
        ]
        return _to([{"ipBlock": block} for block in blocks], [_port_of(model.url)])
    peer = {
        "namespaceSelector": {
            "matchExpressions": [{"key": names.WORKSPACE_UID_LABEL, "operator": "DoesNotExist"}],
            "matchLabels": dict(sorted(model.pods.namespace_labels.items())),
        },
        "podSelector": {"matchLabels": dict(sorted(model.pods.pod_labels.items()))},
    }
    return _to([peer], [model.pods.port])


def _port_of(url: str) -> int:
    parts = urlsplit(url)
    return parts.port or _PORT_OF_SCHEME[parts.scheme]


def _runtime(effective: Effective) -> Manifest:
    return _policy(
        effective,
        names.RUNTIME,
        names.RUNTIME,
        ingress=[_from([_pods(names.GATEWAY)], [names.RUNTIME_PORT])],
        egress=[_to([_pods(names.GATEWAY)], [names.GATEWAY_PORT]), _way_out(effective, names.RUNTIME)],
    )


def _tool(effective: Effective, tool: Tool) -> Manifest:
    name = names.tool(tool.name)
    return _policy(
        effective,
        name,
        names.TOOL,
        tool=tool.name,
        ingress=[_from([_pods(names.GATEWAY)], [tool.port])],
        egress=[_way_out(effective, name)],
    )


def _egress(effective: Effective, context: RenderContext) -> Manifest:
    tools = {names.tool(tool.name): tool.name for tool in effective.tools}
    return _policy(
        effective,
        names.EGRESS,
        names.EGRESS,
        ingress=[
            _from(
                [_pods(names.TOOL, tools[route.client]) if route.client in tools else _pods(names.RUNTIME)],
                [route.port],
            )
            for route in routes(effective)
        ],
        egress=[_dns(context), *_outside(effective, context)],
    )


def _outside(effective: Effective, context: RenderContext) -> list[Manifest]:
    """Ranges and ports that some client may reach: the egress itself keeps the clients and hosts apart."""
    denied = denied_ranges(effective, context)
    ports: dict[str, set[int]] = {}
    for route in routes(effective):
        for rule in route.rules:
            # A name may resolve to any public address, so its ports open to all of them.
            for cidr in _ANYWHERE if rule.cidr is None else (rule.cidr,):
                ports.setdefault(cidr, set()).update(rule.ports)
    rules: list[Manifest] = []
    for cidr, wanted in sorted(ports.items()):
        subtracted = denied_within(cidr, denied)
        if subtracted is None:
            continue  # nothing of it may be reached
        block = {"cidr": cidr, "except": list(subtracted)} if subtracted else {"cidr": cidr}
        rules.append(_to([{"ipBlock": block}], sorted(wanted)))
    return rules


def _policy(
    effective: Effective,
    name: str,
    component: str,
    *,
    ingress: Sequence[Manifest],
    egress: Sequence[Manifest],
    tool: str | None = None,
) -> Manifest:
    spec: Manifest = {
        "podSelector": {"matchLabels": selector(component, tool)},
        "policyTypes": ["Ingress", "Egress"],
    }
    rules_in = [rule for rule in ingress if rule.get("from")]
    rules_out = [rule for rule in egress if rule.get("to")]
    if rules_in:
        spec["ingress"] = rules_in
    if rules_out:
        spec["egress"] = rules_out
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(effective, name, component=component, tool=tool),
        "spec": spec,
    }


def _from(peers: Sequence[Manifest], ports: Iterable[int]) -> Manifest:
    return {"from": list(peers), "ports": _tcp(ports)}


def _to(peers: Sequence[Manifest], ports: Iterable[int]) -> Manifest:
    return {"to": list(peers), "ports": _tcp(ports)}


def _pods(component: str, tool: str | None = None) -> Manifest:
    """Pods of one component in this namespace."""
    return {"podSelector": {"matchLabels": selector(component, tool)}}


def _any_pod_here() -> Manifest:
    """Every pod of this namespace: beside a namespaceSelector, the same words would mean another's pods."""
    return {"podSelector": {}}


def _way_out(effective: Effective, client: str) -> Manifest:
    route = route_of(effective, client)
    return {} if route is None else _to([_pods(names.EGRESS)], [route.port])


def _dns(context: RenderContext) -> Manifest:
    peer = {
        "namespaceSelector": {"matchLabels": {_NAMESPACE_NAME: context.dns_namespace}},
        "podSelector": {"matchLabels": dict(sorted(context.dns_pod_labels.items()))},
    }
    return {
        "to": [peer],
        "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}],
    }


def _tcp(ports: Iterable[int]) -> list[Manifest]:
    return [{"port": port, "protocol": "TCP"} for port in ports]
