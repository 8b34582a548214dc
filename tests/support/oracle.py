"""Kubernetes NetworkPolicy semantics, from the API documentation: what do given policies allow?

Independent of render: it knows pods, namespaces and addresses, and nothing of Bulkhead's components.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Manifest = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A pod (with labels), or an address outside."""

    name: str
    namespace: str = ""
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] | None = None
    address: str | None = None


def allowed(
    policies: Iterable[Manifest], source: Endpoint, target: Endpoint, port: int, protocol: str = "TCP"
) -> bool:
    """Whether both ends let the connection pass."""
    listed = list(policies)
    return _passes(listed, source, target, (port, protocol), "Egress") and _passes(
        listed, target, source, (port, protocol), "Ingress"
    )


def _passes(
    policies: list[Manifest], pod: Endpoint, peer: Endpoint, port: tuple[int, str], direction: str
) -> bool:
    selecting = [
        policy["spec"]
        for policy in policies
        if pod.labels is not None
        and policy["metadata"]["namespace"] == pod.namespace
        and direction in policy["spec"]["policyTypes"]
        and selects(policy["spec"]["podSelector"], pod.labels)
    ]
    if not selecting:
        return True  # not isolated in this direction
    side = "from" if direction == "Ingress" else "to"
    return any(
        _peer_matches(rule.get(side), peer, pod.namespace) and _port_matches(rule.get("ports"), port)
        for spec in selecting
        for rule in spec.get(direction.lower(), [])
    )


def _peer_matches(peers: list[Manifest] | None, peer: Endpoint, own_namespace: str) -> bool:
    if not peers:
        return True  # absent or empty: everybody
    return any(_one_peer(listed, peer, own_namespace) for listed in peers)


def _one_peer(listed: Manifest, peer: Endpoint, own_namespace: str) -> bool:
    if "ipBlock" in listed:
        return peer.address is not None and _in_block(listed["ipBlock"], peer.address)
    if peer.labels is None:
        return False
    in_namespace = (
        selects(listed["namespaceSelector"], peer.namespace_labels)
        if "namespaceSelector" in listed
        else peer.namespace == own_namespace
    )
    return in_namespace and selects(listed.get("podSelector", {}), peer.labels)


def _in_block(block: Manifest, address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return ip in ipaddress.ip_network(block["cidr"]) and not any(
        ip in ipaddress.ip_network(hole) for hole in block.get("except", [])
    )


def _port_matches(ports: list[Manifest] | None, port: tuple[int, str]) -> bool:
    if not ports:
        return True
    return any((listed["port"], listed.get("protocol", "TCP")) == port for listed in ports)


def selects(selector: Manifest, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches: all its terms must hold."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        _holds(term, labels) for term in selector.get("matchExpressions", [])
    )


def _holds(term: Manifest, labels: Mapping[str, str]) -> bool:
    """NotIn and DoesNotExist hold for a pod without the label."""
    key, there = term["key"], term["key"] in labels
    match term["operator"]:
        case "In":
            return there and labels[key] in term["values"]
        case "NotIn":
            return not there or labels[key] not in term["values"]
        case "Exists":
            return there
        case "DoesNotExist":
            return not there
    raise AssertionError(term)
