"""One tenant of each level beside the others, and a pod that no policy fences: made once for this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.arrows import Stranger
from support.levels import (
    LEVELS,
    Tenant,
    class_manifest,
    isolation,
    level_workspace,
    pod_ready,
    serving,
    settle,
    tenant_pod,
)
from support.packets import Place

from kubelive import Live, Ref

if TYPE_CHECKING:
    from collections.abc import Iterator

OUTSIDE = "levels-outside"


@pytest.fixture(scope="package")
def stranger(live: Live) -> Iterator[Stranger]:
    """In a namespace of its own that is no client of any gateway; every target must answer it."""
    live.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OUTSIDE}})
    pod = tenant_pod(OUTSIDE, "stranger", command=serving())
    live.create(pod)
    service: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "stranger", "namespace": OUTSIDE},
        "spec": {"type": "NodePort", "selector": {"app": "stranger"}, "ports": [{"port": 8000}]},
    }
    spec = live.create(service)["spec"]
    address = pod_ready(live, OUTSIDE, "stranger")["status"]["podIP"]

    yield Stranger(
        Place(OUTSIDE, "stranger", "main"), address, spec["clusterIP"], spec["ports"][0]["nodePort"]
    )

    live.delete(Ref("Namespace", OUTSIDE))


@pytest.fixture(scope="package")
def tenants(live: Live, bulkhead: None) -> Iterator[dict[str, Tenant]]:
    """Level -> its tenant; each is the others' neighbour."""
    workspaces = {level: f"at-{level.lower()}" for level in LEVELS}
    for level, name in workspaces.items():
        live.apply(class_manifest(name, isolation=isolation(level)))
        live.apply(level_workspace(name))

    yield settle(live, workspaces)

    for name in workspaces.values():
        live.delete(Ref("TenantWorkspace", name))
        live.delete(Ref("WorkspaceClass", name))


@pytest.fixture(params=LEVELS)
def tenant(request: pytest.FixtureRequest, tenants: dict[str, Tenant]) -> Tenant:
    """The tenant of each level in turn."""
    level: str = request.param
    return tenants[level]
