"""The RuntimeClass of a level vanishes while tenants use it: no tenant pod starts on anything less."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.levels import ADMIN, PATIENCE_SECONDS, class_manifest, serving, tenant_pod

from kubelive import ApiRefusal, Live, Ref, wait_until
from kubelive.workspaces import condition, namespace_of, pod_of, ready, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubelive.backend import Backend

NAME = "vanishing"  # of the RuntimeClass, the class and the workspace alike
SANDBOX = Ref("RuntimeClass", NAME)

Manifest = dict[str, Any]


def _runtime_class() -> Manifest:
    return {
        "apiVersion": "node.k8s.io/v1",
        "kind": "RuntimeClass",
        "metadata": {"name": NAME},
        "handler": "runsc",
    }


@pytest.fixture
def namespace(live: Live, bulkhead: None) -> Iterator[str]:
    """Of a Ready workspace whose level rests on a RuntimeClass of the test's own."""
    live.apply(_runtime_class())
    live.apply(class_manifest(NAME, isolation={"level": "Sandboxed", "runtimeClassName": NAME}))
    access = [{"kind": "User", "name": ADMIN, "role": "admin"}]
    live.apply(workspace(NAME, className=NAME, tools=[{"name": "shell"}], access=access))
    ready(live, NAME, timeout_seconds=PATIENCE_SECONDS)

    yield namespace_of(live, NAME)

    live.delete(Ref("TenantWorkspace", NAME))
    live.delete(Ref("WorkspaceClass", NAME))
    live.delete(SANDBOX)


def _said(live: Live, kind: str) -> Manifest | None:
    seen = condition(live, NAME, kind)
    return seen if seen and seen["reason"] == "RuntimeClassMissing" else None


def test_runtime_class_gone_while_in_use(live: Live, backend: Backend, namespace: str) -> None:
    """Status says what is missing; what runs goes on, what ends stays away; then it may come back."""
    tool = pod_of(live, namespace, "tool", tool="shell")
    admin = Live(as_user=ADMIN, as_groups=("system:authenticated",))

    live.delete(SANDBOX)
    said = wait_until("ToolsReady names it", lambda: _said(live, "ToolsReady"), timeout_seconds=30)
    of_the_class = wait_until(
        "the class says so too",
        lambda: [
            each
            for each in live.get(Ref("WorkspaceClass", NAME)).get("status", {}).get("conditions", [])
            if each["reason"] == "RuntimeClassMissing"
        ],
        timeout_seconds=30,
    )
    still = live.get(Ref("Pod", tool["metadata"]["name"], namespace))
    live.delete(Ref("Pod", tool["metadata"]["name"], namespace))
    wait_until(
        "the pod is gone", lambda: not live.items("Pod", namespace, selector="bulkhead.dev/tool=shell")
    )
    with pytest.raises(ApiRefusal) as refused:
        admin.create(tenant_pod(namespace, "own", command=serving()))
    without = live.items("Pod", namespace, selector="bulkhead.dev/tool=shell")
    gateway = pod_of(live, namespace, "gateway")

    assert "False" == said["status"]
    assert f"RuntimeClass {NAME}" in said["message"]
    assert ["False"] * len(of_the_class) == [each["status"] for each in of_the_class]
    assert tool["metadata"]["uid"] == still["metadata"]["uid"]
    assert "Running" == still["status"]["phase"]
    assert 403 == refused.value.status
    assert NAME in refused.value.message
    assert [] == without
    assert "runtimeClassName" not in gateway["spec"]

    live.apply(_runtime_class())
    wait_until("nothing is missing", lambda: _said(live, "ToolsReady") is None, timeout_seconds=30)
    # Not waited for: Kubernetes tries the tool's pod again after a pause that doubles with each refusal.
    allowed = admin.create(tenant_pod(namespace, "own", command=serving()), dry_run=True)
    assert NAME == allowed["spec"]["runtimeClassName"]
