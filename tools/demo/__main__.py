"""`make demo`: exits 0 only if every promise shown was kept."""

from __future__ import annotations

import json
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from demo.narrator import Narrator
from kubelive import BREAK_GLASS, Live, Ref, kubectl, wait_until
from kubelive.backend import Backend, can_connect
from kubelive.install import OPERATOR_NAMESPACE, install
from kubelive.sabotage import SABOTAGES, refusing_policy, repair_seconds
from kubelive.workspaces import gone, namespace_of, pod_of, ready, token, tool_call, workspace

TENANTS = {"acme": "sandboxed", "globex": "standard"}  # name -> class
RUNTIME_CLASS = "gvisor"
TOOL = "shell"
GATEWAY_PORT, TOOL_PORT = 8080, 8000


class BrokenPromiseError(Exception):
    """Something that the demo shows did not hold."""


def _tenant(name: str) -> dict[str, Any]:
    return workspace(
        name,
        className=TENANTS[name],
        lifecycle={"ttl": "2h"},
        tools=[{"name": TOOL}],
        access=[{"kind": "Group", "name": f"{name}-developers", "role": "view"}],
    )


def _sandboxed() -> dict[str, Any]:
    """A class whose tenants get a kernel of their own."""
    return {
        "apiVersion": "bulkhead.dev/v1alpha1",
        "kind": "WorkspaceClass",
        "metadata": {"name": "sandboxed"},
        "spec": {
            "isolation": {"level": "Sandboxed", "runtimeClassName": RUNTIME_CLASS},
            "gateway": {"clients": [{"namespaceLabels": {"bulkhead.dev/gateway-client": "true"}}]},
        },
    }


def provision(say: Narrator, live: Live) -> None:
    """Both tenants from one object each."""
    with say.step("Apply one TenantWorkspace for each of two tenants: acme in gVisor, globex in Baseline"):
        live.apply(_sandboxed())
        began = time.monotonic()
        for name in TENANTS:
            live.apply(_tenant(name))
        for name in TENANTS:
            ready(live, name)
            say.fact(
                f"{name} Ready in namespace {namespace_of(live, name)}", f"{time.monotonic() - began:.1f} s"
            )
        say.text(kubectl("get", "tenantworkspaces", "-o", "wide").stdout)


def call_tools(say: Narrator, live: Live, backend: Backend) -> None:
    """Each tenant's tool through its own gateway, and the wrong token at the wrong gateway."""
    with say.step("Call a tool inside each tenant, through its gateway, with a signed session"):
        backend.ensure()
        for name, cls in TENANTS.items():
            answer = tool_call(
                live,
                backend,
                name,
                TOOL,
                "shell_exec",
                argv=["sh", "-c", "echo hello from $(hostname); uname -sr; dmesg 2>&1 | head -n 1"],
            )
            if answer.status != 200 or answer.json["is_error"]:
                raise BrokenPromiseError(f"tool call in {name}: {answer.status} {answer.body}")
            said = json.loads(answer.json["content"][0]["text"])["stdout"]
            if ("gVisor" in said) is not (cls == "sandboxed"):
                raise BrokenPromiseError(f"{name} of class {cls}: not the kernel it should have\n{said}")
            say.fact(f"{name}: shell_exec", f"HTTP {answer.status}")
            say.text(said)
        _refused(say, live, backend)


def _refused(say: Narrator, live: Live, backend: Backend) -> None:
    url = live.get(Ref("TenantWorkspace", "globex"))["status"]["gateway"]["url"]
    foreign = token("acme", user="mallory", scopes=(f"tools:call:{TOOL}",))
    body = {"tool": "shell_exec", "arguments": {"argv": ["true"]}}
    for label, signed in (("acme's token at globex's gateway", foreign), ("no token at all", "")):
        answer = backend.call(f"{url}/v1/tools/{TOOL}", token=signed, body=body)
        if answer.status != 401:
            raise BrokenPromiseError(f"{label}: expected 401, got {answer.status} {answer.body}")
        say.fact(label, "HTTP 401 refused")


def isolation(say: Narrator, live: Live, backend: Backend) -> None:
    """The same connections, from where they are allowed and from the neighbour tenant."""
    with say.step("Isolation: the same connection, from an allowed peer and from the neighbour"):
        spaces = {name: namespace_of(live, name) for name in TENANTS}
        attacker = pod_of(live, spaces["acme"], "tool", tool=TOOL)["metadata"]["name"]
        gateway, tool = (
            pod_of(live, spaces["globex"], "gateway"),
            pod_of(live, spaces["globex"], "tool", tool=TOOL),
        )
        gateway_ip, tool_ip = gateway["status"]["podIP"], tool["status"]["podIP"]
        checks = (
            (
                "platform backend -> globex gateway",
                backend.namespace,
                backend.pod,
                gateway_ip,
                GATEWAY_PORT,
                True,
            ),
            ("acme's tool      -> globex gateway", spaces["acme"], attacker, gateway_ip, GATEWAY_PORT, False),
            (
                "globex's gateway -> globex tool",
                spaces["globex"],
                gateway["metadata"]["name"],
                tool_ip,
                TOOL_PORT,
                True,
            ),
            ("acme's tool      -> globex tool", spaces["acme"], attacker, tool_ip, TOOL_PORT, False),
            ("platform backend -> globex tool", backend.namespace, backend.pod, tool_ip, TOOL_PORT, False),
        )
        for label, namespace, pod, host, port, expected in checks:
            seen = can_connect(namespace, pod, host, port)
            if seen is not expected:
                raise BrokenPromiseError(f"{label}: expected {'open' if expected else 'blocked'}")
            say.fact(label, "open, as declared" if seen else "blocked")


def fences(say: Narrator, live: Live) -> None:
    """Each way of breaking the workspace by hand is refused at the moment of writing."""
    with say.step("Break it by hand, as cluster administrator: the fences refuse"):
        namespace = namespace_of(live, "acme")
        for sabotage in SABOTAGES:
            say.fact(sabotage.title, f"refused by {refusing_policy(live, namespace, sabotage)}")


def repair(say: Narrator, live: Live) -> None:
    """The same, by somebody whom the fences let through, is undone."""
    with say.step(f"Break the glass, as a member of {BREAK_GLASS}; Bulkhead puts it back"):
        namespace = namespace_of(live, "acme")
        for sabotage in SABOTAGES:
            took = repair_seconds(live, namespace, sabotage)
            say.fact(sabotage.title, f"repaired after {took * 1000:.0f} ms")
        ready(live, "acme")
        say.fact("acme", "Ready again")


def expire(say: Narrator, live: Live) -> None:
    """A deadline passes: the workspace ends, and nothing is left."""
    with say.step("Let globex expire, by editing its deadline to 10 s from now"):
        namespace = namespace_of(live, "globex")
        ref = Ref("TenantWorkspace", "globex")
        due = (datetime.now(UTC) + timedelta(seconds=10)).replace(microsecond=0)
        live.merge(ref, {"spec": {"lifecycle": {"expiresAt": due.isoformat().replace("+00:00", "Z")}}})

        def ended() -> float | None:
            found = live.find(ref)
            over = found is None or "deletionTimestamp" in found["metadata"]
            return (datetime.now(UTC) - due).total_seconds() if over else None

        lag = wait_until("globex expires", ended, timeout_seconds=40, interval_seconds=0.01)
        if lag < 0:
            raise BrokenPromiseError(f"globex expired {-lag:.3f} s early")
        say.fact("teardown began after the deadline by", f"{lag * 1000:.0f} ms")
        gone(live, "globex", namespace)
        left = [item for item in live.items("Pod") if item["metadata"]["namespace"] == namespace]
        if left:
            raise BrokenPromiseError(f"pods left in {namespace}: {len(left)}")
        say.fact(f"namespace {namespace} and everything in it gone after", f"{_since(due):.1f} s")


def _since(moment: datetime) -> float:
    return (datetime.now(UTC) - moment).total_seconds()


def main() -> int:
    """Run every step; the first broken promise ends the demo with exit code 1."""
    say, live, backend = Narrator(), Live(), Backend()
    try:
        with say.step("Install Bulkhead by Helm"):
            install()
            say.text(kubectl("get", "deployments", "-n", OPERATOR_NAMESPACE).stdout)
        provision(say, live)
        call_tools(say, live, backend)
        isolation(say, live, backend)
        fences(say, live)
        repair(say, live)
        expire(say, live)
    except (BrokenPromiseError, RuntimeError, AssertionError) as broken:
        print(f"\nFAILED: {broken}", file=sys.stderr)
        return 1
    print(
        f"\nAll of it held, in {say.elapsed_seconds():.0f} s. acme is still there to play with:"
        '\n  eval "$(make -s env)"; kubectl get tws; kubectl explain tws.spec.lifecycle; bulkhead status acme'
        "\n  make cluster-down removes everything."
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
