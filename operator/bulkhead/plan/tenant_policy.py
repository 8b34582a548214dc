"""Whether a NetworkPolicy that somebody else made can only open ways between that somebody's own pods.

Policies add up, so one that is not ours can only widen. It is harmless if neither its selector nor any of its
peers can ever be a pod of ours, another namespace's pod or an address: then it is narrow. The same words
stand in the chart's admission policy; this one mends what was there before it, or gets past it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkhead import names

if TYPE_CHECKING:
    from bulkhead.plan.observed import Manifest

__all__ = ["is_narrow"]

# Labels that pods of ours carry: a selector by these alone may mean one of them. The API server copies a
# node's zone and region onto every pod.
_OUR_PREFIXES: Final = (f"{names.GROUP}/", "topology.kubernetes.io/")
_OUR_KEYS: Final = frozenset({names.MANAGED_BY_LABEL, "pod-template-hash"})
# What is not known here may widen.
_SPEC_FIELDS: Final = frozenset({"podSelector", "policyTypes", "ingress", "egress"})
_RULE_FIELDS: Final = frozenset({"from", "to", "ports"})


def is_narrow(policy: Manifest) -> bool:
    """Selects by a label that no pod of ours has, and every rule's every peer likewise, in this namespace."""
    spec = policy.get("spec") or {}
    if not spec.keys() <= _SPEC_FIELDS or not _means_only_theirs(spec.get("podSelector")):
        return False
    return all(
        _is_narrow_rule(rule, side)
        for direction, side in (("ingress", "from"), ("egress", "to"))
        for rule in spec.get(direction) or []
    )


def _is_narrow_rule(rule: Any, side: str) -> bool:
    """An absent or empty peer list would be everybody."""
    peers = rule.get(side)
    return bool(peers) and rule.keys() <= _RULE_FIELDS and all(map(_is_narrow_peer, peers))


def _is_narrow_peer(peer: Any) -> bool:
    """Pods of this namespace only: a namespaceSelector or an ipBlock reaches beyond it."""
    return peer.keys() == {"podSelector"} and _means_only_theirs(peer["podSelector"])


def _means_only_theirs(selector: Any) -> bool:
    """All terms of a selector must hold, so one label that pods of ours never carry is enough."""
    labels = (selector or {}).get("matchLabels") or {}
    return any(not key.startswith(_OUR_PREFIXES) and key not in _OUR_KEYS for key in labels)
