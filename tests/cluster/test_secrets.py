"""A secret's value is where it belongs and nowhere else."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from kubelive import Live, kubectl
from kubelive.workspaces import namespace_of, pod_of, tool_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.conftest import Operator

    from kubelive.backend import Backend

_METRICS = (
    "import urllib.request as u;"
    "print(u.urlopen('http://127.0.0.1:{port}/metrics', timeout=5).read().decode())"
)


def test_planted_value_is_nowhere_to_be_seen(
    live: Live, backend: Backend, operator: Operator, make: Callable[..., str]
) -> None:
    """SEC-001: status, events, logs of operator and gateway, metrics, specs of pods: none shows the value."""
    planted = f"planted-{secrets.token_hex(12)}"
    live.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "planted", "namespace": "platform-secrets"},
            "stringData": {"token": planted},
        }
    )
    name = make(
        "planted",
        secrets=[
            {"name": "api", "from": {"namespace": "platform-secrets", "name": "planted", "key": "token"}}
        ],
        tools=[{"name": "shell", "secrets": ["api"]}],
    )
    namespace = namespace_of(live, name)
    tool = pod_of(live, namespace, "tool")["metadata"]["name"]
    gateway = pod_of(live, namespace, "gateway")["metadata"]["name"]
    assert tool_call(live, backend, name, "shell", "shell_exec", argv=["true"]).status == 200

    in_the_pod = kubectl("exec", "-n", namespace, tool, "--", "cat", "/run/bulkhead/secrets/api/value").stdout
    places = {
        "workspaces": kubectl("get", "tenantworkspaces", "-o", "json").stdout,
        "events": kubectl("get", "events", "-A", "-o", "json").stdout,
        "workloads": kubectl("get", "deployments,pods,services", "-n", namespace, "-o", "json").stdout,
        "operator logs": operator.logs(),
        "gateway logs": kubectl("logs", "-n", namespace, gateway).stdout,
        "gateway metrics": kubectl(
            "exec",
            "-n",
            namespace,
            gateway,
            "--",
            "python3",
            "-c",
            _METRICS.format(port=8081),
            break_glass=True,
        ).stdout,
    }
    for pod in operator.pods():
        places[f"metrics of {pod['metadata']['name']}"] = kubectl(
            "exec", "-n", "bulkhead-system", pod["metadata"]["name"], "--",
            "python3", "-c", _METRICS.format(port=9464),
        ).stdout  # fmt: skip

    assert in_the_pod == planted, "positive control: the tool that asked for it has it"
    assert [place for place, text in places.items() if planted in text] == []
    assert all(places.values()), "an empty place proves nothing"


def test_a_tool_sees_only_its_own_secrets(live: Live, make: Callable[..., str]) -> None:
    """SEC-002: a neighbour tool in the same workspace has neither the file nor the signing keys."""
    live.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "mine", "namespace": "platform-secrets"},
            "stringData": {"token": "only-for-one"},
        }
    )
    name = make(
        "split",
        secrets=[{"name": "api", "from": {"namespace": "platform-secrets", "name": "mine", "key": "token"}}],
        tools=[{"name": "has", "secrets": ["api"]}, {"name": "has-not"}],
    )
    namespace = namespace_of(live, name)

    def mounted(tool: str) -> list[str]:
        pod = pod_of(live, namespace, "tool", tool=tool)
        return [
            volume["secret"]["secretName"] for volume in pod["spec"].get("volumes", []) if "secret" in volume
        ]

    assert mounted("has") == ["secret-api"]
    assert mounted("has-not") == []


def test_no_pod_holds_an_api_token(live: Live, make: Callable[..., str]) -> None:
    """SEC-003: no service account token is mounted anywhere in a workspace."""
    name = make("tokenless", tools=[{"name": "shell"}], runtime={})
    namespace = namespace_of(live, name)

    pods = live.items("Pod", namespace)

    assert len(pods) == 3
    for pod in pods:
        assert "serviceAccountToken" not in json.dumps(pod["spec"])
        listing = kubectl(
            "exec", "-n", namespace, pod["metadata"]["name"], "--",
            "sh", "-c", "ls /var/run/secrets/kubernetes.io 2>&1 || true",
            break_glass=True,
        ).stdout  # fmt: skip
        assert "No such file" in listing
