"""TenantWorkspaces as a user sees them: apply, wait, call a tool, find its pods."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

from kubelive.live import Live, Ref
from kubelive.waiting import wait_until

if TYPE_CHECKING:
    from kubelive.backend import Answer, Backend

__all__ = ["condition", "gone", "namespace_of", "pod_of", "ready", "token", "tool_call", "workspace"]

Manifest = dict[str, Any]


def workspace(name: str, **spec: object) -> Manifest:
    """A TenantWorkspace manifest."""
    return {
        "apiVersion": "bulkhead.dev/v1alpha1",
        "kind": "TenantWorkspace",
        "metadata": {"name": name},
        "spec": spec,
    }


def condition(live: Live, name: str, kind: str) -> Manifest | None:
    """The condition of that type at the object's present generation, else None."""
    found = live.find(Ref("TenantWorkspace", name))
    if found is None:
        return None
    for each in found.get("status", {}).get("conditions", []):
        if each["type"] == kind and each.get("observedGeneration") == found["metadata"]["generation"]:
            return dict(each)
    return None


def _conditions_text(live: Live, name: str) -> str:
    found = live.find(Ref("TenantWorkspace", name))
    if found is None:
        return "no such workspace"
    return "; ".join(
        f"{c['type']}={c['status']} {c.get('reason')} {c.get('message', '')}"
        for c in found.get("status", {}).get("conditions", [])
    )


def ready(live: Live, name: str, *, timeout_seconds: float = 120) -> Manifest:
    """The workspace once it is Ready at its present generation."""

    def probe() -> Manifest | None:
        seen = condition(live, name, "Ready")
        return live.get(Ref("TenantWorkspace", name)) if seen and seen["status"] == "True" else None

    return wait_until(
        f"TenantWorkspace {name} Ready",
        probe,
        timeout_seconds=timeout_seconds,
        interval_seconds=0.05,
        describe=lambda: _conditions_text(live, name),
    )


def namespace_of(live: Live, name: str) -> str:
    """The name of the workspace's namespace, from its status."""
    return str(live.get(Ref("TenantWorkspace", name))["status"]["namespace"]["name"])


def gone(live: Live, name: str, namespace: str, *, timeout_seconds: float = 120) -> None:
    """Return once neither the workspace nor its namespace exists."""
    wait_until(
        f"TenantWorkspace {name} and namespace {namespace} gone",
        lambda: (
            live.find(Ref("TenantWorkspace", name)) is None and live.find(Ref("Namespace", namespace)) is None
        ),
        timeout_seconds=timeout_seconds,
        interval_seconds=0.05,
        describe=lambda: _conditions_text(live, name),
    )


def pod_of(live: Live, namespace: str, component: str, *, tool: str | None = None) -> Manifest:
    """A running pod of that component."""
    selector = f"bulkhead.dev/component={component}" + (f",bulkhead.dev/tool={tool}" if tool else "")

    def probe() -> Manifest | None:
        for pod in live.items("Pod", namespace, selector=selector):
            running = pod["status"].get("phase") == "Running" and pod["status"].get("podIP")
            if running and "deletionTimestamp" not in pod["metadata"]:
                return pod
        return None

    return wait_until(f"a running {component} pod in {namespace}", probe, timeout_seconds=60)


def token(name: str, *, user: str, scopes: tuple[str, ...], ttl: str = "5m", role: str = "user") -> str:
    """A session token, made by the product's own command."""
    done = subprocess.run(
        [
            sys.executable, "-m", "bulkhead.cli", "token", name, "--user", user, "--ttl", ttl, "--role", role,
            *(part for scope in scopes for part in ("--scope", scope)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"bulkhead token {name}: exit {done.returncode}\n{done.stderr}")
    return done.stdout.strip()


def tool_call(
    live: Live,
    backend: Backend,
    name: str,
    tool: str,
    function: str,
    *,
    session: str = "",
    **arguments: object,
) -> Answer:
    """Call a tool's function through the workspace's gateway; `session` is a token, by default a new one."""
    url = live.get(Ref("TenantWorkspace", name))["status"]["gateway"]["url"]
    signed = session or token(name, user="alice", scopes=(f"tools:call:{tool}",))
    return backend.call(
        f"{url}/v1/tools/{tool}", token=signed, body={"tool": function, "arguments": arguments}
    )
