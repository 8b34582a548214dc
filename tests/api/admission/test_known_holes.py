"""Holes that others had, tried on a real API server: each test is named after its source.

docs/security/known-holes.md lists them all, with the tests elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.admission import Request, create, in_space
from support.fenced import SPACE, thing
from support.tenant_spaces import Space, bound, refused, space

from kubelive import Live, Ref

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def here(glass: Live) -> Iterator[Space]:
    """A tenant's workspace."""
    with space(glass) as found:
        yield found


@pytest.fixture(scope="module")
def people(glass: Live, here: Space) -> dict[str, Live]:
    """One person for each tenant role."""
    return {
        "view": bound(glass, here.name, "view"),
        "operate": bound(glass, here.name, "operate"),
        "admin": here.lead,
    }


ROLES = ("view", "operate", "admin")
NAMESPACES = "/api/v1/namespaces"


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "query", ["", "?watch=true", "?labelSelector=bulkhead.dev/workspace", "/kube-system", "?limit=1"]
)
def test_capsule_CVE_2023_46254_nobody_lists_tenants(  # noqa: N802 - its name
    people: dict[str, Live], role: str, query: str
) -> None:
    """Its proxy showed other tenants' namespaces: ours has no proxy, and no role reads a namespace."""
    assert "cannot" in refused(people[role], "GET", NAMESPACES + query)


MEASURED: dict[str, tuple[Request, str]] = {
    "exec into the gateway": (
        Request("POST", in_space("v1", "pods", "gateway-5d5d5-abcde", "exec") + "?command=id", dry=False),
        "bulkhead-connect",
    ),
    "a token of the gateway's account": (
        create(
            in_space("v1", "serviceaccounts", "gateway", "token"),
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
        ),
        "bulkhead-managed-objects",
    ),
    "a policy that allows everything": (
        create(
            in_space("networking.k8s.io/v1", "networkpolicies"),
            thing(
                "networking.k8s.io/v1", "NetworkPolicy", "open",
                spec={"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
            ),
        ),
        "bulkhead-tenant-network-policies",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MEASURED)
def test_capsule_measured_what_an_owner_could_do(tenant: Live, space: str, case: str) -> None:
    """With Kubernetes' own role `admin`, as a Capsule owner has: RBAC lets it, so admission must not."""
    request, policy = MEASURED[case]

    outcome = request.by(tenant)

    assert SPACE == space
    assert (403, policy) == (outcome.status, outcome.policy), outcome.message


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "path", ["/api/v1/nodes/any/proxy/", "/api/v1/nodes/any/proxy/exec/a/b/c?command=id"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_kubernetes_pitfall_7_no_role_has_the_proxy_to_nodes(
    people: dict[str, Live], role: str, path: str, method: str
) -> None:
    """`get` on it is exec in every pod of the node."""
    assert 'resource "nodes/proxy"' in refused(people[role], method, path)


@pytest.mark.parametrize("role", ["view", "operate"])
@pytest.mark.parametrize("door", ["exec", "attach", "portforward"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_kubernetes_pitfall_7_to_read_a_pod_is_not_to_enter_it(
    people: dict[str, Live], here: Space, role: str, door: str, method: str
) -> None:
    """By websocket, exec is a GET: until 1.35 the right to read was enough."""
    path = f"{Ref('Pod', 'any', here.name).path}/{door}?command=id"

    assert f'resource "pods/{door}"' in refused(people[role], method, path)
