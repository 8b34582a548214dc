"""Nobody enters a gateway or an egress proxy through the API server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.admission import Request, at
from support.fenced import SPACE, pod

if TYPE_CHECKING:
    from kubelive import Live

pytestmark = pytest.mark.usefixtures("space")

POLICY = "bulkhead-connect"
IN_A_POD = ("exec", "attach", "portforward", "proxy")


def connect(plural: str, name: str, sub: str) -> Request:
    """A connection: to a pod that is not there it fails, after admission, with 404."""
    command = "?command=id&stdout=true" if sub == "exec" else ""
    return Request("POST", at("v1", plural, name, namespace=SPACE, sub=sub) + command, dry=False)


@pytest.mark.parametrize("who", ["admin", "tenant", "operator", "controller"])
@pytest.mark.parametrize("sub", IN_A_POD)
@pytest.mark.parametrize("name", ["gateway-5d5d5-abcde", "egress-5d5d5-abcde"])
def test_no_connection_into_our_pods(request: pytest.FixtureRequest, who: str, sub: str, name: str) -> None:
    """Who runs a command in a gateway reads every session of the tenant."""
    live: Live = request.getfixturevalue(who)

    outcome = connect("pods", name, sub).by(live)

    policies = {POLICY} | ({"bulkhead-operator-fence"} if who == "operator" else set())
    assert outcome.status == 403
    assert outcome.policy in policies


@pytest.mark.parametrize(
    "name", ["http:gateway-5d5d5-abcde:8080", "https:egress-5d5d5-abcde:3128", "http:gateway-a:"]
)
def test_no_proxy_into_our_pods_by_scheme_and_port(admin: Live, name: str) -> None:
    """The proxy takes <scheme>:<name>:<port>, which begins with neither gateway- nor egress-."""
    outcome = connect("pods", name, "proxy").by(admin)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert "nobody enters" in outcome.message


@pytest.mark.parametrize(
    "name", ["gateway", "egress", "gateway:8080", "http:gateway:8080", "https:egress:3128", "https:gateway:"]
)
def test_no_proxy_to_our_services(admin: Live, name: str) -> None:
    """The API server's own address is in no client's NetworkPolicy, and would be let in from the node."""
    outcome = connect("services", name, "proxy").by(admin)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert "no way into a gateway" in outcome.message


def test_no_debug_container_joins_a_gateway(admin: Live, space: str) -> None:
    """It would share the gateway's process and network namespaces."""
    path = at("v1", "pods", "gateway-5d5d5-abcde", namespace=space, sub="ephemeralcontainers")
    [container] = pod("any", {})["spec"]["containers"]
    debug = {key: container[key] for key in ("image", "securityContext")} | {"name": "debug"}
    patch = {"spec": {"ephemeralContainers": [debug]}}
    request = Request("PATCH", path, patch, "application/strategic-merge-patch+json")

    outcome = request.by(admin)

    assert outcome.status == 403
    assert outcome.policy in {POLICY, "bulkhead-managed-objects", "bulkhead-tenant-pods"}


@pytest.mark.parametrize("sub", IN_A_POD)
@pytest.mark.parametrize("name", ["own", "runtime-5d5d5-abcde", "gatewayless"])
def test_other_pods_stay_open_to_whom_rbac_lets(admin: Live, sub: str, name: str) -> None:
    """A fence that shuts everything off would be torn down by the first person who debugs an agent."""
    outcome = connect("pods", name, sub).by(admin)

    assert outcome.policy == ""


def test_other_services_stay_open_to_whom_rbac_lets(admin: Live) -> None:
    """As above, for Services."""
    assert connect("services", "http:own:80", "proxy").by(admin).policy == ""


@pytest.mark.parametrize("sub", IN_A_POD)
def test_broken_glass_lets_an_administrator_in(glass: Live, sub: str) -> None:
    """In an emergency somebody must, and the audit log names the group."""
    assert connect("pods", "gateway-zzz", sub).by(glass).policy == ""
