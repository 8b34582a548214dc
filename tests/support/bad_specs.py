"""Specs that can never work: one table for both judges, the API server and the operator."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["BAD_CLASSES", "BAD_NAMES", "BAD_SPECS", "BadSpec"]


class BadSpec(NamedTuple):
    """A spec, and the field that every refusal of it must name."""

    id: str
    spec: dict[str, Any]
    field: str


def _tool(**fields: Any) -> dict[str, Any]:
    return {"tools": [{"name": "a", **fields}]}


def _lifecycle(**fields: Any) -> dict[str, Any]:
    return {"lifecycle": fields}


def _egress(**fields: Any) -> dict[str, Any]:
    return {"runtime": {}, "egress": [fields]}


def _source(**fields: Any) -> dict[str, Any]:
    return {"secrets": [{"name": "k", "from": {"namespace": "n", "name": "s", "key": "v", **fields}}]}


def _access(kind: str, name: str, role: str = "view") -> dict[str, Any]:
    return {"access": [{"kind": kind, "name": name, "role": role}]}


def _over(key: str, request: str, limit: str) -> dict[str, Any]:
    return {"runtime": {"resources": {"requests": {key: request}, "limits": {key: limit}}}}


BAD_SPECS = [
    BadSpec("class name", {"className": "No_Such"}, "spec.className"),
    BadSpec("class name too long", {"className": "c" * 64}, "spec.className"),
    BadSpec("tenant id", {"tenantID": "-x-"}, "spec.tenantID"),
    BadSpec("ttl of zero seconds", _lifecycle(ttl="0s"), "spec.lifecycle.ttl"),
    BadSpec("ttl of zero hours and minutes", _lifecycle(ttl="0h0m"), "spec.lifecycle.ttl"),
    BadSpec("negative ttl", _lifecycle(ttl="-1h"), "spec.lifecycle.ttl"),
    BadSpec("ttl in days", _lifecycle(ttl="7d"), "spec.lifecycle.ttl"),
    BadSpec("ttl as a number", _lifecycle(ttl=3600), "spec.lifecycle.ttl"),
    BadSpec("empty ttl", _lifecycle(ttl=""), "spec.lifecycle.ttl"),
    BadSpec("idle ttl of zero", _lifecycle(idleTTL="0m"), "spec.lifecycle.idleTTL"),
    BadSpec("expiry without an offset", _lifecycle(expiresAt="2099-01-01T00:00:00"),
            "spec.lifecycle.expiresAt"),
    BadSpec("provision deadline of zero", _lifecycle(provisionDeadline="0s"),
            "spec.lifecycle.provisionDeadline"),
    BadSpec("warning before the start", _lifecycle(ttl="5m", warnBefore="5m"), "warnBefore"),
    BadSpec("suspended is no bool", _lifecycle(suspended="please"), "spec.lifecycle.suspended"),
    BadSpec("upper-case tool name", _tool(name="A_b"), "spec.tools[0].name"),
    BadSpec("tool name too long", _tool(name="n" * 31), "spec.tools[0].name"),
    BadSpec("tool without a name", {"tools": [{"port": 8000}]}, "spec.tools[0].name"),
    BadSpec("duplicate tool names", {"tools": [{"name": "a"}, {"name": "a"}]}, "spec.tools"),
    BadSpec("too many tools", {"tools": [{"name": f"t{n}"} for n in range(33)]}, "spec.tools"),
    BadSpec("tools is no list", {"tools": "all"}, "spec.tools"),
    BadSpec("tool port zero", _tool(port=0), "spec.tools[0].port"),
    BadSpec("tool port too high", _tool(port=65536), "spec.tools[0].port"),
    BadSpec("health port without an image", _tool(port=8081), "port"),
    BadSpec("tool path", _tool(path="mcp"), "spec.tools[0].path"),
    BadSpec("image with a blank", _tool(image="registry.example/a b"), "spec.tools[0].image"),
    BadSpec("image with a short digest", _tool(image="a@sha256:abc"), "spec.tools[0].image"),
    BadSpec("empty image", {"runtime": {"image": ""}}, "spec.runtime.image"),
    BadSpec("MCP tool name", _tool(allow=["two words"]), "spec.tools[0].allow[0]"),
    BadSpec("duplicate MCP tool names", _tool(allow=["x", "x"]), "spec.tools[0].allow"),
    BadSpec("tool names an unknown secret", _tool(secrets=["nobody"]), "secrets"),
    BadSpec("runtime names an unknown secret", {"runtime": {"secrets": ["nobody"]}}, "runtime.secrets"),
    BadSpec("environment name", {"runtime": {"env": [{"name": "1A"}]}}, "spec.runtime.env[0].name"),
    BadSpec("reserved environment name", _tool(env=[{"name": "BULKHEAD_CONFIG"}]),
            "spec.tools[0].env[0].name"),
    BadSpec("proxy in the environment", _tool(env=[{"name": "https_proxy"}]), "spec.tools[0].env[0].name"),
    BadSpec("duplicate environment", {"runtime": {"env": [{"name": "A"}, {"name": "A"}]}},
            "spec.runtime.env"),
    BadSpec("replicas below zero", {"runtime": {"replicas": -1}}, "spec.runtime.replicas"),
    BadSpec("replicas share a volume", {"runtime": {"replicas": 2, "storage": {"size": "1Gi"}}}, "replicas"),
    BadSpec("storage of zero", {"runtime": {"storage": {"size": "0"}}}, "spec.runtime.storage.size"),
    BadSpec("limit of zero", {"runtime": {"resources": {"limits": {"cpu": "0"}}}}, "resources.limits.cpu"),
    BadSpec("limit of zero as a number", {"runtime": {"resources": {"limits": {"cpu": 0}}}}, "limits.cpu"),
    BadSpec("cpu request above its limit", _over("cpu", "1", "500m"), "requests.cpu"),
    BadSpec("memory request above its limit", _over("memory", "1Gi", "1000Mi"), "requests.memory"),
    BadSpec("disk request above its limit", _over("ephemeralStorage", "2k", "1k"),
            "requests.ephemeralStorage"),
    BadSpec("memory in thousandths", {"quota": {"memory": "100m"}}, "spec.quota.memory"),
    BadSpec("quantity in words", {"quota": {"cpu": "two"}}, "spec.quota.cpu"),
    BadSpec("quantity with a blank", {"quota": {"memory": "4 Gi"}}, "spec.quota.memory"),
    BadSpec("negative quantity", {"quota": {"cpu": -1}}, "spec.quota.cpu"),
    BadSpec("negative storage quota", {"quota": {"storage": -1}}, "spec.quota.storage"),
    BadSpec("quota of no pods", {"quota": {"pods": 0}}, "spec.quota.pods"),
    BadSpec("host and cidr", _egress(host="a.example", cidr="203.0.113.0/24"), "spec.egress[0]"),
    BadSpec("neither host nor cidr", _egress(ports=[443]), "spec.egress[0]"),
    BadSpec("host with a port", _egress(host="a.example:443"), "spec.egress[0].host"),
    BadSpec("host is an address", _egress(host="203.0.113.7"), "spec.egress[0].host"),
    BadSpec("host is a URL", _egress(host="https://a.example"), "spec.egress[0].host"),
    BadSpec("host of one label", _egress(host="localhost"), "spec.egress[0].host"),
    BadSpec("host is everything", _egress(host="*"), "spec.egress[0].host"),
    BadSpec("host of a whole top level", _egress(host="*.com"), "spec.egress[0].host"),
    BadSpec("wildcard in the middle", _egress(host="a.*.example.com"), "spec.egress[0].host"),
    BadSpec("upper-case host", _egress(host="API.example.com"), "spec.egress[0].host"),
    BadSpec("cidr with host bits", _egress(cidr="203.0.113.7/24"), "spec.egress[0].cidr"),
    BadSpec("cidr without a length", _egress(cidr="203.0.113.7"), "spec.egress[0].cidr"),
    BadSpec("cidr in a private range", _egress(cidr="10.1.0.0/16"), "cidr"),
    BadSpec("cidr of cloud metadata", _egress(cidr="169.254.169.254/32"), "cidr"),
    BadSpec("cidr of IPv4 in IPv6", _egress(cidr="::ffff:10.0.0.0/104"), "cidr"),
    BadSpec("cidr of unique local IPv6", _egress(cidr="fd00::/64"), "cidr"),
    BadSpec("duplicate ports", _egress(host="a.example", ports=[443, 443]), "spec.egress[0].ports"),
    BadSpec("no ports", _egress(host="a.example", ports=[]), "spec.egress[0].ports"),
    BadSpec("tool egress", _tool(egress=[{"host": "a.example", "ports": [70000]}]),
            "spec.tools[0].egress[0].ports[0]"),
    BadSpec("egress for nobody", {"egress": [{"host": "a.example"}]}, "egress"),
    BadSpec("secret without a key", {"secrets": [{"name": "k", "from": {"namespace": "n", "name": "s"}}]},
            "from.key"),
    BadSpec("secret namespace", _source(namespace="a/b"), "spec.secrets[0].from.namespace"),
    BadSpec("secret key", _source(key="../x"), "spec.secrets[0].from.key"),
    BadSpec("unknown role", _access("User", "a@example.com", "root"), "spec.access[0].role"),
    BadSpec("unknown kind of subject", _access("ServiceAccount", "x"), "spec.access[0].kind"),
    BadSpec("access for everybody", _access("Group", "system:authenticated"), "spec.access[0]"),
    BadSpec("access for the anonymous", _access("User", "system:anonymous"), "spec.access[0]"),
    BadSpec("negative epoch", {"sessionEpoch": -1}, "spec.sessionEpoch"),
]  # fmt: skip

BAD_NAMES = ["n" * 41, "a.b"]

BAD_CLASSES = [
    BadSpec("too many tools", {"ceilings": {"tools": 33}}, "spec.ceilings.tools"),
    BadSpec("ceiling of zero", {"ceilings": {"ttl": "0s"}}, "spec.ceilings.ttl"),
    BadSpec("default ttl", {"defaults": {"lifecycle": {"ttl": "1w"}}}, "spec.defaults.lifecycle.ttl"),
    BadSpec("wildcard in the middle", {"allowed": {"images": ["a*b"]}}, "spec.allowed.images[0]"),
    BadSpec("host allowance", {"allowed": {"egressHosts": ["**"]}}, "spec.allowed.egressHosts[0]"),
    BadSpec("allowed cidr", {"allowed": {"egressCIDRs": ["203.0.113.1/24"]}}, "spec.allowed.egressCIDRs[0]"),
    BadSpec("denied cidr", {"deniedCIDRs": ["10.0.0.0/33"]}, "spec.deniedCIDRs[0]"),
    BadSpec("every namespace", {"gateway": {"clients": [{"namespaceLabels": {}}]}}, "namespaceLabels"),
    BadSpec("no namespace", {"gateway": {"clients": [{"podLabels": {"a": "b"}}]}}, "namespaceLabels"),
    BadSpec("label key", {"gateway": {"clients": [{"namespaceLabels": {"a b": "c"}}]}}, "namespaceLabels"),
    BadSpec("label value", {"gateway": {"clients": [{"namespaceLabels": {"a": "-"}}]}}, "namespaceLabels"),
]
