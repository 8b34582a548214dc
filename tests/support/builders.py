"""Workspaces as data: what `resolve` would hand to render, and the context beside it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from bulkhead import names
from bulkhead.api.builtin import BUILTIN_RATES
from bulkhead.api.effective import Effective, EffectiveLifecycle, Isolation
from bulkhead.api.gateway import ApiKeySource, GatewayStorage, Limits, ModelPods, Rates, SharedModel
from bulkhead.api.ranges import DENIED_CIDRS
from bulkhead.api.workspace import (
    AccessRole,
    AccessRule,
    EgressRule,
    EnvVar,
    Quota,
    ResourceList,
    Resources,
    Runtime,
    SecretSource,
    SecretSourceRef,
    Storage,
    Subject,
    Tool,
)
from bulkhead.api.workspace_class import GatewayClient, IsolationLevel, Toleration
from bulkhead.plan.facts import ClusterFacts, NodeFacts
from bulkhead.render import RenderContext, SecretValue

if TYPE_CHECKING:
    from bulkhead.render import Manifest, Rendered

CREATED = datetime(2026, 11, 1, 8, 0, tzinfo=UTC)
UID = "0b7e4c1a-93f5-4d0e-8a6b-5f2c9d1e7a30"
IMAGE = "bulkhead/sandbox:test"
SEED = SecretValue(b"planted-seed-of-the-gateways-key")
LIMITS = Limits(
    per_user=BUILTIN_RATES,
    tenant=Rates(requests_per_minute=600, tokens_per_minute=200_000, tokens_per_day=5_000_000, concurrent=40),
)
JWKS = '{"keys":[{"crv":"Ed25519","kid":"k1","kty":"OKP","x":"AAAA"}]}'
CLIENTS = (GatewayClient(namespace_labels={names.GATEWAY_CLIENT_LABEL: "true"}),)
DOOR = Resources(
    requests=ResourceList(cpu="20m", memory="48Mi", ephemeral_storage="16Mi"),
    limits=ResourceList(cpu="500m", memory="128Mi", ephemeral_storage="64Mi"),
)
AGENT = Resources(
    requests=ResourceList(cpu="50m", memory="64Mi", ephemeral_storage="32Mi"),
    limits=ResourceList(cpu="500m", memory="256Mi", ephemeral_storage="512Mi"),
)
LIFECYCLE = EffectiveLifecycle(
    ttl_seconds=8 * 3600,
    idle_ttl_seconds=None,
    expires_at=None,
    provision_deadline_seconds=300,
    warn_before_seconds=600,
    suspended=False,
)


BASELINE = Isolation(level=IsolationLevel.BASELINE, runtime_class=None, node_selector={}, tolerations=())
# What a class with a node pool of its own says.
POOL = {
    "node_selector": {"pool": "agents", "arch": "amd64"},
    "tolerations": (
        Toleration(key="agents", operator="Equal", value="only", effect="NoSchedule"),
        Toleration(key="spot", operator="Exists"),
    ),
}
USER_NAMESPACE = Isolation(level=IsolationLevel.USER_NAMESPACE, runtime_class=None, **POOL)  # type: ignore[arg-type]
SANDBOXED = Isolation(level=IsolationLevel.SANDBOXED, runtime_class="gvisor", **POOL)  # type: ignore[arg-type]
# A cluster that can do every level, with a node outside the pool.
CLUSTER = ClusterFacts(
    runtime_classes=frozenset({"gvisor"}),
    storage_classes=frozenset({"standard"}),
    has_default_storage_class=True,
    nodes=(
        NodeFacts(name="plain", cpu_millicores=4000, memory_bytes=8 * 1024**3, pods=110),
        NodeFacts(
            name="pool",
            labels=POOL["node_selector"],  # type: ignore[arg-type]
            cpu_millicores=4000,
            memory_bytes=8 * 1024**3,
            pods=110,
            user_namespaces=True,
        ),
    ),
)


def tool(name: str, **fields: Any) -> Tool:
    """A tool of the sandbox image, resolved."""
    return Tool(**{"name": name, "image": IMAGE, "resources": AGENT, **fields})


def runtime(**fields: Any) -> Runtime:
    """A runtime of the sandbox image, resolved."""
    return Runtime(**{"image": IMAGE, "resources": AGENT, **fields})


def secret(name: str, source: str = "platform-secrets") -> SecretSource:
    """A secret whose source is `<source>/<name>:token`."""
    return SecretSource(name=name, from_=SecretSourceRef(namespace=source, name=name, key="token"))


def model(**fields: Any) -> SharedModel:
    """A model in pods of the cluster, with a key, as `resolve` would choose it."""
    return SharedModel(
        **{
            "name": "default",
            "url": "http://model.models.svc.cluster.local:8000/v1",
            "upstream_name": "llama-3",
            "pods": ModelPods(
                namespace_labels={"kubernetes.io/metadata.name": "models"},
                pod_labels={"app": "model"},
                port=8001,
            ),
            "api_key": ApiKeySource(namespace="model-keys", name="default", key="token"),
            **fields,
        }
    )


def effective(**fields: Any) -> Effective:
    """The smallest workspace, a gateway and nothing else, with the given fields on top."""
    return Effective(
        **{
            "name": "acme",
            "uid": UID,
            "generation": 1,
            "created_at": CREATED,
            "tenant_id": "acme",
            "class_name": "standard",
            "lifecycle": LIFECYCLE,
            "runtime": None,
            "tools": (),
            "model": None,
            "egress": (),
            "secrets": (),
            "quota": Quota(cpu="2", memory="4Gi", pods=12, storage="5Gi", ephemeral_storage="4Gi"),
            "limits": LIMITS,
            "memory_session_ttl_seconds": 3600,
            "access": (),
            "session_epoch": 0,
            "gateway_resources": DOOR,
            "gateway_storage": GatewayStorage(),
            "egress_resources": DOOR,
            "gateway_clients": CLIENTS,
            "denied_cidrs": DENIED_CIDRS,
            "isolation": BASELINE,
            "allowed_images": ("registry.example/*",),
            "remarks": (),
            **fields,
        }
    )


def full() -> Effective:
    """A workspace that uses every field of the spec."""
    return effective(
        tenant_id="acme-corp",
        lifecycle=replace(LIFECYCLE, idle_ttl_seconds=1800),
        runtime=runtime(
            image="registry.example/agents/acme:1",
            command=("/agent",),
            args=("--serve",),
            env=(EnvVar(name="MODE", value="prod"), EnvVar(name="EMPTY")),
            storage=Storage(size="2Gi"),
            secrets=("api-key",),
        ),
        tools=(
            tool("shell"),
            tool(
                "search",
                image="registry.example/tools/search:3",
                port=9000,
                path="/rpc",
                egress=(EgressRule(host="api.search.example", ports=(443,)),),
                secrets=("search-key",),
                allow=("web_search",),
            ),
        ),
        model=model(),
        egress=(
            EgressRule(host="api.example.com", ports=(443, 8443)),
            EgressRule(cidr="203.0.113.0/24", ports=(5432,)),
        ),
        secrets=(secret("api-key"), secret("search-key")),
        access=(
            AccessRule(kind=Subject.GROUP, name="acme-devs", role=AccessRole.VIEW),
            AccessRule(kind=Subject.USER, name="ops@example.com", role=AccessRole.OPERATE),
            AccessRule(kind=Subject.USER, name="lead@example.com", role=AccessRole.ADMIN),
        ),
        isolation=SANDBOXED,
        session_epoch=3,
    )


def context(spec: Effective | None = None, **fields: Any) -> RenderContext:
    """A context in which everything that the workspace waits for is known."""
    secrets = spec.secrets if spec is not None else ()
    return RenderContext(
        **{
            "operator_namespace": "bulkhead-system",
            "operator_service_account": "bulkhead-operator",
            "sandbox_image": IMAGE,
            "cluster_cidrs": ("198.18.0.0/15", "fd00:10::/48"),
            "jwks": JWKS,
            "gateway_seed": SEED,
            "model_key": SecretValue(b"planted-model-key"),
            "service_ips": {names.GATEWAY: "198.19.128.10", names.EGRESS: "198.19.128.11"},
            "secret_values": {
                source.name: SecretValue(f"planted-{source.name}".encode()) for source in secrets
            },
            **fields,
        }
    )


def manifest(rendered: Rendered, kind: str, name: str) -> Manifest:
    """The one manifest of that kind and name."""
    (found,) = (m for m in rendered.manifests if (m["kind"], m["metadata"]["name"]) == (kind, name))
    return found
