"""Any workspace that the API would let through."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st
from support.builders import (
    BASELINE,
    LIFECYCLE,
    SANDBOXED,
    USER_NAMESPACE,
    effective,
    model,
    runtime,
    secret,
    tool,
)

from bulkhead.api.gateway import GatewayStorage
from bulkhead.api.workspace import AccessRole, AccessRule, EgressRule, EnvVar, Quota, Storage, Subject
from bulkhead.api.workspace_class import GatewayClient

labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,8}[a-z0-9])?", fullmatch=True)
ports = st.lists(st.integers(1, 65535), min_size=1, max_size=3, unique=True).map(tuple)
hosts = st.builds(EgressRule, host=labels.map(lambda label: f"{label}.example.com"), ports=ports)
cidrs = st.builds(
    EgressRule,
    cidr=st.sampled_from(["203.0.113.0/24", "198.0.0.0/8", "2001:db8::/32", "0.0.0.0/0", "::/0"]),
    ports=ports,
)
rules = st.lists(hosts | cidrs, max_size=3).map(tuple)
env = st.lists(
    st.builds(EnvVar, name=st.from_regex(r"[A-Z_]{1,6}", fullmatch=True), value=st.text("ab ", max_size=3)),
    max_size=3,
    unique_by=lambda var: var.name,
).map(tuple)
images = st.sampled_from([None, "registry.example/own:1"])
lifecycles = st.builds(
    lambda ttl, idle, suspended: replace(
        LIFECYCLE, ttl_seconds=ttl, idle_ttl_seconds=idle, suspended=suspended
    ),
    st.none() | st.integers(1, 10**7),
    st.none() | st.integers(1, 10**6),
    st.booleans(),
)
quotas = st.builds(
    Quota,
    cpu=st.none() | st.sampled_from(["2", "2500m", "0.5"]),
    memory=st.none() | st.sampled_from(["4Gi", "4096Mi", "4G"]),
    pods=st.none() | st.integers(1, 50),
    storage=st.none() | st.just("5Gi"),
    ephemeral_storage=st.none() | st.just("4Gi"),
)
access = st.lists(
    st.builds(AccessRule, kind=st.sampled_from(Subject), name=labels, role=st.sampled_from(AccessRole)),
    max_size=4,
).map(tuple)
clients = st.lists(
    st.builds(
        lambda namespaces, pods: GatewayClient(namespace_labels=namespaces, pod_labels=pods),
        namespaces=st.dictionaries(labels, labels, min_size=1, max_size=2),
        pods=st.dictionaries(labels, labels, max_size=2),
    ),
    max_size=2,
).map(tuple)


models = st.none() | st.builds(
    model,
    url=st.sampled_from(["http://m.example/v1", "https://[2001:db8::7]:8000/v1"]),
    pods=st.none(),
    cidrs=st.lists(
        st.sampled_from(["10.20.0.0/16", "198.0.0.0/8", "198.18.7.0/24", "2001:db8::/32", "fd00::/8"]),
        min_size=1,
        unique=True,
    ).map(tuple),
    api_key=st.none(),
)
models |= st.builds(model)


@st.composite
def workspaces(draw: st.DrawFn) -> object:
    """Consistent by construction: names unique, secrets known, storage only with one replica."""
    secrets = draw(st.lists(labels, max_size=3, unique=True))
    chosen = st.lists(st.sampled_from(secrets), unique=True).map(tuple) if secrets else st.just(())
    tools = [
        tool(
            name,
            image=draw(images),
            port=draw(st.integers(1, 65535).filter(lambda port: port != 8081)),
            env=draw(env),
            egress=draw(rules),
            secrets=draw(chosen),
        )
        for name in draw(st.lists(labels, max_size=4, unique=True))
    ]
    has_runtime = draw(st.booleans())
    storage = Storage(size="1Gi") if draw(st.booleans()) else None
    agent = runtime(
        image=draw(images),
        command=draw(st.sampled_from([(), ("/agent",)])),
        env=draw(env),
        replicas=1 if storage else draw(st.integers(0, 3)),
        storage=storage,
        secrets=draw(chosen),
    )
    return effective(
        name=draw(labels),
        lifecycle=draw(lifecycles),
        runtime=agent if has_runtime else None,
        tools=tuple(tools),
        model=draw(models),
        gateway_storage=draw(st.sampled_from([GatewayStorage(), GatewayStorage(storage_class_name="fast")])),
        egress=draw(rules) if has_runtime else (),
        secrets=tuple(secret(name) for name in secrets),
        quota=draw(quotas),
        access=draw(access),
        session_epoch=draw(st.integers(0, 5)),
        gateway_clients=draw(clients),
        isolation=draw(st.sampled_from([BASELINE, USER_NAMESPACE, SANDBOXED])),
        remarks=draw(st.sampled_from([(), ("a remark",)])),
    )
