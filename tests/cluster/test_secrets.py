"""A secret's value is where it belongs and nowhere else."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any, Final

from kubelive import Live, Ref, kubectl, wait_until
from kubelive.workspaces import condition, gone, namespace_of, pod_of, ready, tool_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.stories import Scene, Told
    from tests.cluster.conftest import Operator

    from kubelive.backend import Backend

Manifest = dict[str, Any]
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


def _split(at: Scene) -> None:
    live, make = at.live, at.make
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


def _tokenless(at: Scene) -> None:
    live, make = at.live, at.make
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


def _source(live: Live, name: str, value: str) -> list[Manifest]:
    """A Secret with that token, and `spec.secrets` with one secret, `api`, that comes from it."""
    live.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": "platform-secrets"},
            "stringData": {"token": value},
        }
    )
    return [{"name": "api", "from": {"namespace": "platform-secrets", "name": name, "key": "token"}}]


def _look(live: Live, name: str) -> None:
    """Have the operator look at a workspace now; sources are not watched, it would within ten minutes."""
    ref = Ref("TenantWorkspace", name)
    poke = secrets.token_hex(4)
    live.merge(ref, {"metadata": {"annotations": {"example.com/look": poke}}})


def _uids(live: Live, namespace: str) -> dict[str, str]:
    """Component, or name of the tool, to the UID of the one pod that is to stay."""
    pods = [pod["metadata"] for pod in live.items("Pod", namespace)]
    return {
        pod["labels"].get("bulkhead.dev/tool", pod["labels"]["bulkhead.dev/component"]): pod["uid"]
        for pod in pods
        if "deletionTimestamp" not in pod
    }


def _value_in(live: Live, namespace: str, tool: str) -> str:
    pod = pod_of(live, namespace, "tool", tool=tool)["metadata"]["name"]
    return kubectl("exec", "-n", namespace, pod, "--", "cat", "/run/bulkhead/secrets/api/value").stdout


def _rotation(at: Scene) -> None:
    live, make = at.live, at.make
    source = _source(live, "rotated", "first-value")
    tools = [{"name": "has", "secrets": ["api"]}, {"name": "has-not"}]
    name = make("rotate", secrets=source, tools=tools, runtime={})
    namespace = namespace_of(live, name)
    before = _uids(live, namespace)
    assert _value_in(live, namespace, "has") == "first-value"

    _source(live, "rotated", "second-value")
    _look(live, name)
    wait_until("the pod is replaced", lambda: _uids(live, namespace).get("has") not in {None, before["has"]})
    ready(live, name)
    after = _uids(live, namespace)

    assert _value_in(live, namespace, "has") == "second-value"
    assert {"gateway", "has", "has-not", "runtime"} == after.keys() == before.keys()
    assert {"has"} == {pod for pod, uid in after.items() if uid != before[pod]}


def _vanished(at: Scene) -> None:
    live, make = at.live, at.make
    source = _source(live, "vanishing", "kept-value")
    name = make("vanish", secrets=source, tools=[{"name": "has", "secrets": ["api"]}])
    namespace = namespace_of(live, name)
    before = _uids(live, namespace)

    live.delete(Ref("Secret", "vanishing", "platform-secrets"))
    _look(live, name)
    seen = wait_until(
        "SecretSourceMissing",
        lambda: (
            (now := condition(live, name, "SecretsSynced")) and now["reason"] == "SecretSourceMissing" and now
        ),
        timeout_seconds=20,
    )

    assert "platform-secrets/vanishing:token" in seen["message"]
    assert "the value copied last is kept" in seen["message"]
    assert ready(live, name)
    assert _uids(live, namespace) == before
    wait_until(
        "Event SecretSourceMissing",
        lambda: any(
            each["reason"] == "SecretSourceMissing" and each["regarding"]["name"] == name
            for each in live.items("Event", "default")
        ),
        timeout_seconds=20,
    )
    live.delete(Ref("Pod", pod_of(live, namespace, "tool")["metadata"]["name"], namespace))
    wait_until("another pod", lambda: _uids(live, namespace).get("has") not in {None, before["has"]})
    ready(live, name)
    assert _value_in(live, namespace, "has") == "kept-value", "also in a pod that starts later"

    _source(live, "vanishing", "new-value")
    wait_until(
        "the source is found again",
        lambda: (now := condition(live, name, "SecretsSynced")) and now["status"] == "True",
        timeout_seconds=30,
    )
    ready(live, name)
    assert _value_in(live, namespace, "has") == "new-value"


def _wiped(at: Scene) -> None:
    live, make = at.live, at.make
    source = _source(live, "wiped", "wiped-value")
    name = make("wipe", secrets=source, tools=[{"name": "has", "secrets": ["api"]}])
    namespace = namespace_of(live, name)
    uid = live.get(Ref("TenantWorkspace", name))["metadata"]["uid"]
    key = Ref("Secret", f"signing-key-{uid}", "bulkhead-system")
    assert {each["metadata"]["name"] for each in live.items("Secret", namespace)} == {
        "gateway-keys",
        "secret-api",
        "session-keys",
    }
    assert live.find(key) is not None
    hold = Ref("ConfigMap", "hold", namespace)
    live.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": hold.name, "namespace": namespace, "finalizers": ["example.com/hold"]},
        }
    )

    live.delete(Ref("TenantWorkspace", name))
    wait_until(
        "the namespace is being deleted",
        lambda: "deletionTimestamp" in live.get(Ref("Namespace", namespace))["metadata"],
        timeout_seconds=60,
    )

    assert live.items("Secret", namespace) == []
    assert live.find(key) is None
    assert live.find(Ref("Secret", "wiped", "platform-secrets")) is not None, "the source is its owner's"
    live.merge(hold, {"metadata": {"finalizers": None}})
    gone(live, name, namespace)


STORIES: Final = (_rotation, _vanished, _wiped, _split, _tokenless)


def test_rotation_rolls_exactly_the_pods_that_use_the_secret(told: Told) -> None:
    """SEC-004: the user of a rotated key gets the new value; nobody else's work is interrupted."""
    told(_rotation)


def test_a_vanished_source_takes_nothing_away_and_is_said(told: Told) -> None:
    """SEC-005: somebody's slip in another namespace must not stop a tenant, nor stay unseen."""
    told(_vanished)


def test_secrets_are_wiped_before_the_namespace_goes(told: Told) -> None:
    """SEC-006: a namespace that somebody's finalizer holds for days must not hold credentials."""
    told(_wiped)


def test_a_tool_sees_only_its_own_secrets(told: Told) -> None:
    """SEC-002: a neighbour tool in the same workspace has neither the file nor the signing keys."""
    told(_split)


def test_no_pod_holds_an_api_token(told: Told) -> None:
    """SEC-003: no service account token is mounted anywhere in a workspace."""
    told(_tokenless)
