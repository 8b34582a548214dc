"""The order of creation and teardown, read from the API server's audit log."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from kubelive import Live, Ref
from kubelive.workspaces import gone, namespace_of

if TYPE_CHECKING:
    from collections.abc import Callable


def _writes(namespace: str) -> list[dict[str, Any]]:
    """Successful writes in a namespace, in the order in which the API server took them."""
    log = subprocess.run(
        [sys.executable, "-m", "cluster", "audit-log"], capture_output=True, text=True, check=True
    ).stdout
    entries = [json.loads(line) for line in log.splitlines() if namespace in line]
    done = [
        entry
        for entry in entries
        if entry["stage"] == "ResponseComplete"
        and entry["verb"] in ("create", "patch", "update", "delete")
        and entry.get("objectRef", {}).get("namespace") == namespace
        and entry["responseStatus"]["code"] < 300
    ]
    return sorted(done, key=lambda entry: str(entry["stageTimestamp"]))


def _positions(writes: list[dict[str, Any]], resource: str, *verbs: str) -> list[int]:
    return [
        index
        for index, entry in enumerate(writes)
        if entry["objectRef"]["resource"] == resource
        and entry["verb"] in verbs
        and "subresource" not in entry["objectRef"]
    ]


def test_every_policy_exists_before_the_first_pod(live: Live, make: Callable[..., str]) -> None:
    """ISO-NET-008: no pod can run for even a moment outside its policies."""
    name = make("order", tools=[{"name": "shell"}], runtime={})
    writes = _writes(namespace_of(live, name))

    policies = _positions(writes, "networkpolicies", "create", "patch")
    pods = _positions(writes, "pods", "create")

    assert len(policies) >= 4
    assert pods, "the log must show pods, or this test shows nothing"
    assert policies[-1] < pods[0]


def test_pods_end_before_secrets_and_policies(live: Live, make: Callable[..., str]) -> None:
    """Teardown: the last pod is gone while its policies still stand (CVE-2024-7598)."""
    name = make("down", tools=[{"name": "shell"}])
    namespace = namespace_of(live, name)

    live.delete(Ref("TenantWorkspace", name))
    gone(live, name, namespace)
    writes = _writes(namespace)

    last_pod = _positions(writes, "pods", "delete")[-1]
    default_deny = [
        index
        for index in _positions(writes, "networkpolicies", "delete", "deletecollection")
        if writes[index]["objectRef"].get("name", "default-deny") == "default-deny"
    ]
    assert all(last_pod < index for index in default_deny)
