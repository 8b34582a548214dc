"""What the operator renders into BULKHEAD_CONFIG is what each role of the image reads."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from support.builders import context, effective, full, manifest, runtime, tool

from bulkhead import names
from bulkhead.api.ranges import DENIED_CIDRS
from bulkhead.render import render
from bulkhead_sandbox import guard
from bulkhead_sandbox.config import (
    VARIABLE,
    EgressConfig,
    EgressListener,
    EgressRuleConfig,
    GatewayConfig,
    LimitsConfig,
    MemoryConfig,
    ModelConfig,
    RateConfig,
    RuntimeConfig,
    ToolConfig,
    ToolRunnerConfig,
    read,
)
from bulkhead_sandbox.egress.rules import DeniedRanges, Rules
from bulkhead_wire.token import audience
from bulkhead_wire.version import VERSION

ROOT = Path(__file__).parents[2]
FULL = full()
SMALL = effective(runtime=runtime(), tools=(tool("shell", port=9001, path="/rpc"),))


def environment(name: str, spec: object = FULL) -> dict[str, str]:
    """The environment of the one container of a Deployment."""
    rendered = render(spec, context(spec))  # type: ignore[arg-type] # an Effective
    template = manifest(rendered, "Deployment", name)["spec"]["template"]
    (container,) = template["spec"]["containers"]
    return {variable["name"]: variable.get("value", "") for variable in container["env"]}


def test_gateway_reads_its_config() -> None:
    """No session could be opened in any workspace."""
    namespace = names.namespace(FULL.name, FULL.uid)
    assert read(GatewayConfig, environment("gateway")) == GatewayConfig(
        workspace=FULL.name,
        workspace_uid=FULL.uid,
        audience=audience(FULL.uid),
        issuer="bulkhead",
        listen=names.GATEWAY_PORT,
        operator_listen=names.GATEWAY_OPERATOR_PORT,
        health_listen=names.HEALTH_PORT,
        guard_listen=names.GATEWAY_GUARD_PORT,
        canary="bulkhead-canary.bulkhead-system.svc.cluster.local:8090",
        jwks_file="/run/bulkhead/session-keys/jwks.json",
        epoch_file="/run/bulkhead/session-keys/epoch",
        keys_folder="/run/bulkhead/gateway-keys",
        data_folder="/data",
        limits=LimitsConfig(
            per_user=RateConfig(
                requests_per_minute=60, tokens_per_minute=20_000, tokens_per_day=500_000, concurrent=4
            ),
            tenant=RateConfig(
                requests_per_minute=600, tokens_per_minute=200_000, tokens_per_day=5_000_000, concurrent=40
            ),
        ),
        memory=MemoryConfig(session_ttl_seconds=3600),
        models=(
            ModelConfig(
                name="default",
                url="http://model.models.svc.cluster.local:8000/v1",
                upstream_name="llama-3",
                context_tokens=8192,
                max_output_tokens=1024,
                embeddings=False,
                cache_salt=True,
                key_file="/run/bulkhead/model-key/value",
            ),
        ),
        tools=(
            ToolConfig(
                name="shell", url=f"http://tool-shell.{namespace}.svc.cluster.local:8000/mcp", allow=()
            ),
            ToolConfig(
                name="search",
                url=f"http://tool-search.{namespace}.svc.cluster.local:9000/rpc",
                allow=("web_search",),
            ),
        ),
    )


def test_egress_reads_its_config() -> None:
    """Nothing could go out, or a client would be judged by another's list."""
    config = read(EgressConfig, environment("egress"))
    assert config.listeners == (
        EgressListener(
            port=3128,
            client="runtime",
            rules=(
                EgressRuleConfig(host="api.example.com", ports=(443, 8443)),
                EgressRuleConfig(cidr="203.0.113.0/24", ports=(5432,)),
            ),
        ),
        EgressListener(
            port=3130,
            client="tool-search",
            rules=(EgressRuleConfig(host="api.search.example", ports=(443,)),),
        ),
    )
    assert set(DENIED_CIDRS) <= set(config.denied_cidrs)
    DeniedRanges.read(config.denied_cidrs)
    for listener in config.listeners:
        Rules.read(listener.rules, "listeners")


def test_runtime_and_tool_read_their_config() -> None:
    """The default images would not start."""
    assert read(RuntimeConfig, environment("runtime", SMALL)) == RuntimeConfig(
        listen=names.RUNTIME_PORT, health_listen=names.HEALTH_PORT
    )
    assert read(ToolRunnerConfig, environment("tool-shell", SMALL)) == ToolRunnerConfig(
        listen=9001, path="/rpc", health_listen=names.HEALTH_PORT
    )


@pytest.mark.parametrize("address", ["198.19.128.10", "fd00:10::a"])
def test_guard_reads_its_config(address: str) -> None:
    """Every untrusted pod would wait for ever."""
    rendered = render(SMALL, context(service_ips={"gateway": address}))
    pod = manifest(rendered, "Deployment", "tool-shell")["spec"]["template"]["spec"]
    (container,) = pod["initContainers"]
    env = {variable["name"]: variable["value"] for variable in container["env"]}

    assert container["args"] == ["guard"]
    assert guard._gateway(env) == (address, names.GATEWAY_GUARD_PORT)


def test_config_is_only_given_where_it_is_read() -> None:
    """A tenant's own program would be told of ours for nothing."""
    assert VARIABLE not in environment("runtime")


def test_version_is_the_release() -> None:
    """Roles would claim a release that they are not."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
