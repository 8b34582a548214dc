"""Services in a workspace name pods of their own namespace, and open no door."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.tenant_spaces import Space, refusal_of, space

from kubelive import ApiRefusal, Live

if TYPE_CHECKING:
    from collections.abc import Iterator

PORTS = [{"port": 80}]
REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("another's name", {"type": "ExternalName", "externalName": "kubernetes.default.svc"}, "spec.type"),
    ("a port of every node", {"type": "NodePort", "ports": PORTS}, "spec.type"),
    ("a load balancer", {"type": "LoadBalancer", "ports": PORTS}, "spec.type"),
    ("another's address", {"ports": PORTS, "externalIPs": ["10.96.0.10"]}, "spec.externalIPs"),
    ("a name beside an address", {"ports": PORTS, "externalName": "a.example"}, "spec.externalName"),
]
ALLOWED: list[tuple[str, dict[str, Any]]] = [
    ("pods", {"ports": PORTS, "selector": {"app": "worker"}}),
    ("headless", {"ports": PORTS, "selector": {"app": "worker"}, "clusterIP": "None"}),
]


@pytest.fixture(scope="module")
def where(glass: Live) -> Iterator[Space]:
    """A workspace's namespace with its admin."""
    with space(glass) as found:
        yield found


@pytest.mark.parametrize("spec", [case[1] for case in ALLOWED], ids=[case[0] for case in ALLOWED])
def test_a_service_for_pods_goes_in(where: Space, spec: dict[str, Any]) -> None:
    """The control."""
    assert (201, "") == refusal_of(where.lead, where.manifest("Service", "worker", spec=spec))


@pytest.mark.parametrize(("spec", "field"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
@pytest.mark.parametrize("user", ["lead", "operator", "admin"])
def test_a_service_for_anything_else_is_refused(
    where: Space, spec: dict[str, Any], field: str, user: str, request: pytest.FixtureRequest
) -> None:
    """ExternalIPs take over traffic of the whole cluster (CVE-2020-8554); doors go around the gateway."""
    live = where.lead if user == "lead" else request.getfixturevalue(user)
    manifest = where.manifest("Service", "worker", spec=spec)
    if user == "operator":
        manifest["metadata"]["labels"] = where.labels

    status, message = refusal_of(live, manifest)

    assert 403 == status
    assert "ValidatingAdmissionPolicy 'bulkhead-services'" in message
    assert f"denied request: {field}: " in message


def test_a_service_cannot_become_one_later(where: Space) -> None:
    """An update is as good as a new Service."""
    where.lead.create(where.manifest("Service", "later", spec={"ports": PORTS, "selector": {"app": "x"}}))
    path = f"/api/v1/namespaces/{where.name}/services/later"

    with pytest.raises(ApiRefusal) as refused:
        where.lead.call(
            "PATCH", path, {"spec": {"type": "NodePort"}}, content_type="application/merge-patch+json"
        )

    assert (403, True) == (refused.value.status, "spec.type: must be ClusterIP" in refused.value.message)
