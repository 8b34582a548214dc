"""Specs that can never work: one table for both judges, the API server and the operator."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = [
    "BAD_ASCII_FORMS",
    "BAD_CLASSES",
    "BAD_HOSTS",
    "BAD_IMAGE_ALLOWANCES",
    "BAD_NAMES",
    "BAD_SPECS",
    "BadSpec",
    "BadText",
]


class BadSpec(NamedTuple):
    """A spec, and the field that every refusal of it must name."""

    id: str
    spec: dict[str, Any]
    field: str


class BadText(NamedTuple):
    """A text, and what the refusal must say is allowed instead."""

    id: str
    text: str
    allowed: str


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


def _tolerations(*tolerations: dict[str, Any]) -> dict[str, Any]:
    return {"isolation": {"tolerations": list(tolerations)}}


PODS: dict[str, Any] = {"namespaceLabels": {"a": "b"}, "podLabels": {"a": "b"}, "port": 80}
MODEL: dict[str, Any] = {"name": "m", "url": "http://m.models.svc:8000/v1", "pods": PODS}


def _model(**fields: Any) -> dict[str, Any]:
    """None: the field is left out."""
    return {"models": [{key: value for key, value in (MODEL | fields).items() if value is not None}]}


def _outside(cidr: str) -> dict[str, Any]:
    return _model(pods=None, cidrs=[cidr])


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
    BadSpec("arguments for the tool-runner", _tool(args=["--verbose"]), "args"),
    BadSpec("arguments beside an empty command", _tool(command=[], args=["--verbose"]), "args"),
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
    BadSpec("host that is too long", _egress(host=f"{'a.' * 124}example"), "spec.egress[0].host"),
    BadSpec("cidr with host bits", _egress(cidr="203.0.113.7/24"), "spec.egress[0].cidr"),
    BadSpec("cidr without a length", _egress(cidr="203.0.113.7"), "spec.egress[0].cidr"),
    BadSpec("cidr in a private range", _egress(cidr="10.1.0.0/16"), "cidr"),
    BadSpec("cidr of cloud metadata", _egress(cidr="169.254.169.254/32"), "cidr"),
    BadSpec("cidr of IPv4 in IPv6", _egress(cidr="::ffff:10.0.0.0/104"), "cidr"),
    BadSpec("cidr of one host in a private range", _egress(cidr="192.168.0.1/32"), "cidr"),
    BadSpec("cidr of a node-local address", _egress(cidr="127.0.0.0/8"), "cidr"),
    BadSpec("cidr of one host in IPv6", _egress(cidr="fd00:ec2::254/128"), "cidr"),
    BadSpec("cidr of link-local IPv6", _egress(cidr="fe80::/64"), "cidr"),
    BadSpec("cidr of IPv4 behind NAT64", _egress(cidr="64:ff9b::a00:0/104"), "cidr"),
    BadSpec("cidr of a tool in a private range", _tool(egress=[{"cidr": "172.16.0.0/12"}]), "cidr"),
    BadSpec("cidr in IPv6 with host bits", _egress(cidr="2001:db8::1/64"), "spec.egress[0].cidr"),
    BadSpec("cidr with a zone", _egress(cidr="2001:db8::%eth0/64"), "spec.egress[0].cidr"),
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
    BadSpec("model without a name", {"model": {}}, "spec.model.name"),
    BadSpec("model name", {"model": {"name": "GPT 4"}}, "spec.model.name"),
    BadSpec("no requests at all", {"limits": {"perUser": {"requestsPerMinute": 0}}},
            "spec.limits.perUser.requestsPerMinute"),
    BadSpec("negative tokens", {"limits": {"tenant": {"tokensPerDay": -1}}},
            "spec.limits.tenant.tokensPerDay"),
    BadSpec("limit beyond counting", {"limits": {"tenant": {"concurrent": 10**12 + 1}}},
            "spec.limits.tenant.concurrent"),
    BadSpec("limit in words", {"limits": {"perUser": {"tokensPerMinute": "many"}}},
            "spec.limits.perUser.tokensPerMinute"),
    BadSpec("memory of no time", {"memory": {"sessionTTL": "0s"}}, "spec.memory.sessionTTL"),
    BadSpec("quota of no storage", {"quota": {"storage": "0"}}, "spec.quota.storage"),
    BadSpec("negative epoch", {"sessionEpoch": -1}, "spec.sessionEpoch"),
]  # fmt: skip

BAD_NAMES = ["n" * 41, "a.b"]

# Names that a rule may not hold, in a workspace or in a class, each with the reason of its own.
BAD_HOSTS = [
    BadText("empty", "", "two labels or more"),
    BadText("scheme", "https://a.example", "without a scheme"),
    BadText("scheme, port and path", "https://a.example:443/x", "without a scheme"),
    BadText("no scheme before the slashes", "//a.example", "without a scheme"),
    BadText("port", "a.example:443", "without a port"),
    BadText("empty port", "a.example:", "without a port"),
    BadText("user", "user@a.example", "without a user"),
    BadText("path", "a.example/x", "without a path"),
    BadText("query", "a.example?x", "without a path"),
    BadText("fragment", "a.example#x", "without a path"),
    BadText("backslash", "a.example\\b.example", "without a path"),
    BadText("everything", "*", "no wildcard this wide"),
    BadText("everything with a dot", "*.", "no wildcard this wide"),
    BadText("a whole top level", "*.com", "no wildcard this wide"),
    BadText("a whole top level, rooted", "*.com.", "no wildcard this wide"),
    BadText("everything that ends so", "*com", "no wildcard this wide"),
    BadText("two wildcards", "**", "a wildcard only as the whole first label"),
    BadText("two wildcard labels", "*.*.example.com", "a wildcard only as the whole first label"),
    BadText("wildcard in the middle", "a.*.example.com", "a wildcard only as the whole first label"),
    BadText("wildcard in a label", "a*.example.com", "a wildcard only as the whole first label"),
    BadText("wildcard at the start of a label", "*a.example.com", "a wildcard only as the whole first label"),
    BadText("wildcard at the end", "example.*", "a wildcard only as the whole first label"),
    BadText("address", "203.0.113.7", "not an address in any spelling"),
    BadText("address of the metadata service", "169.254.169.254", "not an address in any spelling"),
    BadText("short address", "127.1", "not an address in any spelling"),
    BadText("decimal address", "2130706433", "not an address in any spelling"),
    BadText("octal address", "0177.0.0.01", "not an address in any spelling"),
    BadText("hexadecimal address", "0x7f000001", "not an address in any spelling"),
    BadText("hexadecimal parts", "0x7f.0x0.0x0.0x1", "not an address in any spelling"),
    BadText("empty hexadecimal part", "127.0.0.0x", "not an address in any spelling"),
    BadText("wildcard of an address", "*.0.0.1", "not an address in any spelling"),
    BadText("range", "203.0.113.0/24", "cidr takes ranges"),
    BadText("IPv6 address", "2001:db8::7", "not an address"),
    BadText("bracketed IPv6 address", "[2001:db8::7]", "not an address"),
    BadText("bracketed IPv6 address with a port", "[::1]:443", "not an address"),
    BadText("IPv4 in IPv6", "::ffff:10.0.0.1", "not an address"),
    BadText("zoned address", "fe80::1%eth0", "without percent-encoding or zone"),
    BadText("percent-encoding", "a%2eexample.com", "without percent-encoding"),
    BadText("NUL", "a.example\0.evil.example", "no blanks or control characters"),
    BadText("line end", "a.example\n", "no blanks or control characters"),
    BadText("blank", "a.example b.example", "no blanks or control characters"),
    BadText("delete", "a.example\x7f", "no blanks or control characters"),
    BadText("underscore", "a_b.example", "no underscore"),
    BadText("upper case", "API.example.com", "lower case"),
    BadText("upper-case ASCII form", "XN--mnchen-3ya.example", "lower case"),
    BadText("international", "münchen.example", "in its ASCII form"),
    BadText("ideographic full stop", "a\u3002example", "in its ASCII form"),
    BadText("full-width letters", "\uff41.example", "in its ASCII form"),
    BadText("invisible", "a\u200b.example", "in its ASCII form"),
    BadText("comma", "a.example,b.example", "letters, digits, hyphens and dots"),
    BadText("dot at the end", "a.example.", "no dot at the end"),
    BadText("dot at the start", ".a.example", "no empty label"),
    BadText("two dots", "a..example", "no empty label"),
    BadText("long label", f"{'a' * 64}.example", "labels of at most 63 characters"),
    BadText("long top-level label", f"a.{'a' * 64}", "labels of at most 63 characters"),
    BadText("hyphen at the start", "-a.example", "no hyphen at the ends"),
    BadText("hyphen at the end", "a-.example", "no hyphen at the ends"),
    BadText("empty ASCII form", "xn--.example", "no hyphen at the ends"),
    BadText("one label", "localhost", "two labels or more"),
    BadText(
        "top-level label that starts with a digit", "a.1example", "a last label that starts with a letter"
    ),
]

# What only the operator refuses: CEL cannot decode it.
BAD_ASCII_FORMS = [
    BadText("not decodable", "xn--99999999999.example", "RFC 5891"),
    BadText("decodes to ASCII", "xn--example.example", "RFC 5891"),
    BadText("decodes to upper case", "a.xn--m-xbb.xn--m-kfa", "RFC 5891"),
    BadText("decodes to a slash", "xn--ab-1u3n.example", "RFC 5891"),
    BadText("decodes to a full stop", "xn--ab-r13a.example", "RFC 5891"),
    BadText("decodes to full-width letters", "xn--b-yq0i.example", "RFC 5891"),
    BadText("decodes to a ligature", "xn--x-sy8h.example", "RFC 5891"),
    BadText("decodes to a letter and its accent", "xn--e-xbb.example", "RFC 5891"),
    BadText("decodes to a symbol", "xn--n3h.example", "RFC 5891"),
]

BAD_IMAGE_ALLOWANCES = [
    BadText("empty", "", "an image reference"),
    BadText("everything", "*", "no wildcard this wide"),
    BadText("every registry that begins so", "registry.example*", "no wildcard this wide"),
    BadText("every port", "registry.example:*", "no wildcard this wide"),
    BadText("wildcard in the middle", "registry.example/*/search", "one wildcard, at the end"),
    BadText("wildcard before the registry", "*/search", "one wildcard, at the end"),
    BadText("two wildcards", "registry.example/**", "one wildcard, at the end"),
    BadText("scheme", "https://registry.example/*", "without a scheme"),
    BadText("empty part", "registry.example//*", "without a scheme or an empty part"),
    BadText("no registry", "/agents/*", "an image reference"),
    BadText("blank", "registry.example/a *", "no blanks or control characters"),
]

BAD_CLASSES = [
    BadSpec("too many tools", {"ceilings": {"tools": 33}}, "spec.ceilings.tools"),
    BadSpec("ceiling of zero", {"ceilings": {"ttl": "0s"}}, "spec.ceilings.ttl"),
    BadSpec("default ttl", {"defaults": {"lifecycle": {"ttl": "1w"}}}, "spec.defaults.lifecycle.ttl"),
    BadSpec("second image pattern", {"allowed": {"images": ["a/b", "*"]}}, "spec.allowed.images[1]"),
    BadSpec("second host pattern", {"allowed": {"egressHosts": ["a.example", "*"]}},
            "spec.allowed.egressHosts[1]"),
    BadSpec("unknown level", {"isolation": {"level": "Hardened"}}, "spec.isolation.level"),
    BadSpec("empty level", {"isolation": {"level": ""}}, "spec.isolation.level"),
    BadSpec("sandbox without a runtime class", {"isolation": {"level": "Sandboxed"}}, "runtimeClassName"),
    BadSpec("runtime class at the default level", {"isolation": {"runtimeClassName": "gvisor"}},
            "runtimeClassName"),
    BadSpec("runtime class with user namespaces",
            {"isolation": {"level": "UserNamespace", "runtimeClassName": "gvisor"}}, "runtimeClassName"),
    BadSpec("runtime class", {"isolation": {"level": "Sandboxed", "runtimeClassName": "g_Visor"}},
            "spec.isolation.runtimeClassName"),
    BadSpec("runtime class too long", {"isolation": {"level": "Sandboxed", "runtimeClassName": "g" * 254}},
            "spec.isolation.runtimeClassName"),
    BadSpec("node selector", {"isolation": {"nodeSelector": {"a b": "c"}}}, "nodeSelector"),
    BadSpec("too large a node selector", {"isolation": {"nodeSelector": {f"k{n}": "v" for n in range(17)}}},
            "nodeSelector"),
    BadSpec("too many tolerations", _tolerations(*({"key": f"k{n}"} for n in range(17))), "tolerations"),
    BadSpec("operator of a toleration", _tolerations({"key": "a", "operator": "Gt"}), "operator"),
    BadSpec("effect of a toleration", _tolerations({"key": "a", "effect": "NoRun"}), "effect"),
    BadSpec("key of a toleration", _tolerations({"key": "a b"}), "tolerations[0].key"),
    BadSpec("value of a toleration", _tolerations({"key": "a", "value": "-"}), "tolerations[0].value"),
    BadSpec("toleration of nothing", _tolerations({"value": "a"}), "key"),
    BadSpec("toleration of any value with one",
            _tolerations({"key": "a", "operator": "Exists", "value": "b"}), "value"),
    BadSpec("time without its effect", _tolerations({"key": "a", "tolerationSeconds": 5}),
            "tolerationSeconds"),
    BadSpec("negative time", _tolerations({"key": "a", "effect": "NoExecute", "tolerationSeconds": -1}),
            "tolerationSeconds"),
    BadSpec("default request above its limit",
            {"defaults": {"resources": {"tool": {"requests": {"cpu": 2}, "limits": {"cpu": 1}}}}},
            "requests.cpu"),
    BadSpec("model by nothing", _model(pods=None), "exactly one of pods and cidrs"),
    BadSpec("model by both", _model(cidrs=["203.0.113.0/24"]), "exactly one of pods and cidrs"),
    BadSpec("two models of one name", {"models": [MODEL, MODEL]}, "spec.models"),
    BadSpec("too many models", {"models": [MODEL | {"name": f"m{n}"} for n in range(17)]}, "spec.models"),
    BadSpec("model name", _model(name="M"), "spec.models[0].name"),
    *(
        BadSpec(f"url {url}", _model(url=url), "spec.models[0].url")
        for url in ("model:8000", "ftp://m/v1", "http://", "http://m:0/v1", "http://m:65536/v1", "http://u@m/v1",
                    "http://m/v1?x=1", "http://m/v1#x", "http://M/v1", "http://m/ v1", "http://m/v1/")
    ),
    BadSpec("pods of every namespace", _model(pods=PODS | {"namespaceLabels": {}}), "namespaceLabels"),
    BadSpec("every pod", _model(pods=PODS | {"podLabels": {}}), "podLabels"),
    BadSpec("port of a model's pods", _model(pods=PODS | {"port": 0}), "pods.port"),
    BadSpec("model at a host with host bits", _outside("203.0.113.1/24"), "cidrs[0]"),
    *(
        BadSpec(f"model at {cidr}", _outside(cidr), "cidrs")
        for cidr in ("127.0.0.0/8", "169.254.169.254/32", "168.63.129.16/32", "::1/128", "fe80::/64",
                     "fd00:ec2::254/128", "100.100.100.200/32", "64:ff9b::/96")
    ),
    BadSpec("answer as long as the context", _model(contextTokens=512, maxOutputTokens=512),
            "maxOutputTokens"),
    BadSpec("answer longer than the default context", _model(maxOutputTokens=8192), "maxOutputTokens"),
    BadSpec("context too small", _model(contextTokens=100), "spec.models[0].contextTokens"),
    BadSpec("no salt without consent", _model(cacheSalt=False), "acceptTimingLeak"),
    BadSpec("consent for nothing", _model(acceptTimingLeak=True), "acceptTimingLeak"),
    BadSpec(
        "key that workspaces could name",
        _model(apiKey={"namespace": "n", "name": "s", "key": "k"}) | {"allowed": {"secretNamespaces": ["n"]}},
        "apiKey.namespace",
    ),
    BadSpec("key without a key", _model(apiKey={"namespace": "n", "name": "s"}), "apiKey.key"),
    BadSpec("gateway's volume of nothing", {"gateway": {"storage": {"size": 0}}},
            "spec.gateway.storage.size"),
    BadSpec("gateway's storage class", {"gateway": {"storage": {"storageClassName": "A"}}},
            "spec.gateway.storage.storageClassName"),
    BadSpec("allowed cidr", {"allowed": {"egressCIDRs": ["203.0.113.1/24"]}}, "spec.allowed.egressCIDRs[0]"),
    BadSpec("denied cidr", {"deniedCIDRs": ["10.0.0.0/33"]}, "spec.deniedCIDRs[0]"),
    BadSpec("every namespace", {"gateway": {"clients": [{"namespaceLabels": {}}]}}, "namespaceLabels"),
    BadSpec("no namespace", {"gateway": {"clients": [{"podLabels": {"a": "b"}}]}}, "namespaceLabels"),
    BadSpec("label key", {"gateway": {"clients": [{"namespaceLabels": {"a b": "c"}}]}}, "namespaceLabels"),
    BadSpec("label value", {"gateway": {"clients": [{"namespaceLabels": {"a": "-"}}]}}, "namespaceLabels"),
]  # fmt: skip
