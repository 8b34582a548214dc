"""What holds a gateway to account, on a cluster: its log, its epoch, and a replacement without a gap."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from kubelive import Live, Ref, kubectl, wait_until
from kubelive.workspaces import condition, namespace_of, pod_of, ready, token, tool_call

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubelive.backend import Backend

RATE = {"requestsPerMinute": 100_000, "tokensPerMinute": 10**9, "tokensPerDay": 10**9, "concurrent": 64}
REVOKED_SECONDS = 5.0

# In the backend's pod: so many calls a second, each on a connection of its own as a Service spreads them.
_LOAD = """
import json, sys, threading, time, urllib.request
ask = json.load(sys.stdin)
bad, lock, started = [], threading.Lock(), time.monotonic()
def call(number):
    time.sleep(max(0.0, started + number / ask["rate"] - time.monotonic()))
    request = urllib.request.Request(ask["url"], headers={"Authorization": "Bearer " + ask["token"]})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status = str(answer.status)
    except Exception as error:
        status = f"{number}: {type(error).__name__}: {error}"
    if status != "200":
        with lock:
            bad.append(status)
def work(first):
    for number in range(first, ask["count"], 16):
        call(number)
threads = [threading.Thread(target=work, args=(first,)) for first in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps({"calls": ask["count"], "bad": bad}))
"""


def _audit(live: Live, name: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = live.get(Ref("TenantWorkspace", name))["status"].get("audit")
    return found


def test_a_log_that_is_cut_is_told_by_the_operator(
    live: Live, backend: Backend, make: Callable[..., str]
) -> None:
    """Whoever owns the volume can take records away; what the operator saw of them stays in status."""
    name = make("evidence", tools=[{"name": "shell"}])
    for _ in range(3):
        assert tool_call(live, backend, name, "shell", "shell_exec", argv=["true"]).status == 200
    wait_until(
        "the log is anchored", lambda: (_audit(live, name) or {}).get("seq", 0) >= 6, timeout_seconds=90
    )
    intact = condition(live, name, "AuditIntact")
    namespace = namespace_of(live, name)
    gateway = pod_of(live, namespace, "gateway")["metadata"]["name"]

    cut = (
        "from pathlib import Path; log = sorted(Path('/data/audit').glob('*.jsonl'))[-1];"
        "log.write_bytes(b''.join(log.read_bytes().splitlines(keepends=True)[:3]))"
    )
    kubectl("exec", "-n", namespace, gateway, "--", "python3", "-c", cut, break_glass=True)

    def broken() -> dict[str, Any] | None:
        found = condition(live, name, "AuditIntact")
        return found if found is not None and found["status"] == "False" else None

    told = wait_until("AuditIntact False", broken, timeout_seconds=90)
    kept = _audit(live, name)

    assert intact is not None
    assert ("True", "Anchored") == (intact["status"], intact["reason"])
    assert told["reason"] in {"Regressed", "Broken"}
    assert kept is not None
    assert kept["seq"] >= 6
    assert tool_call(live, backend, name, "shell", "shell_exec", argv=["true"]).status == 503, (
        "no record, no work"
    )


def test_a_raised_epoch_counts_within_seconds(live: Live, backend: Backend, make: Callable[..., str]) -> None:
    """A stolen token must die when somebody says so, and no pod need be replaced for it."""
    name = make("revoke")
    url = f"{live.get(Ref('TenantWorkspace', name))['status']['gateway']['url']}/v1/session"
    old = token(name, user="alice", scopes=("session",))
    pod = pod_of(live, namespace_of(live, name), "gateway")["metadata"]["uid"]
    assert backend.call(url, token=old, method="GET").status == 200

    live.merge(Ref("TenantWorkspace", name), {"spec": {"sessionEpoch": 1}})
    raised = datetime.now(UTC)
    wait_until(
        "the old token is refused",
        lambda: backend.call(url, token=old, method="GET").status == 401,
        timeout_seconds=30,
        interval_seconds=0.1,
    )
    took_seconds = (datetime.now(UTC) - raised).total_seconds()
    ready(live, name)

    assert took_seconds < REVOKED_SECONDS
    assert backend.call(url, token=token(name, user="alice", scopes=("session",)), method="GET").status == 200
    assert pod == pod_of(live, namespace_of(live, name), "gateway")["metadata"]["uid"]


@pytest.mark.timeout(300)
def test_a_gateway_is_replaced_without_a_failed_request(
    live: Live, backend: Backend, make: Callable[..., str]
) -> None:
    """Fifty calls a second while a limit is edited, which makes a new pod: each of them is answered."""
    name = make("rolling", limits={"perUser": RATE, "tenant": RATE})
    namespace = namespace_of(live, name)
    url = f"{live.get(Ref('TenantWorkspace', name))['status']['gateway']['url']}/v1/session"
    before = pod_of(live, namespace, "gateway")["metadata"]["uid"]
    ask = {
        "url": url,
        "token": token(name, user="alice", scopes=("session",), ttl="10m"),
        "rate": 50,
        "count": 50 * 40,
    }
    with subprocess.Popen(
        ["kubectl", "exec", "-i", "-n", backend.namespace, backend.pod, "--", "python3", "-c", _LOAD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as load:
        if load.stdin is not None:
            load.stdin.write(json.dumps(ask))
            load.stdin.close()
            load.stdin = None
        live.merge(
            Ref("TenantWorkspace", name), {"spec": {"limits": {"perUser": {**RATE, "concurrent": 63}}}}
        )
        wait_until(
            "another gateway serves alone",
            lambda: (
                [p["metadata"]["uid"] for p in _gateways(live, namespace)] not in ([], [before])
                and len(_gateways(live, namespace)) == 1
            ),
            timeout_seconds=60,
        )
        said, _ = load.communicate(timeout=120)
    result = json.loads(said)

    assert (2000, []) == (result["calls"], result["bad"])


def _gateways(live: Live, namespace: str) -> list[dict[str, Any]]:
    return live.items("Pod", namespace, selector="bulkhead.dev/component=gateway")
