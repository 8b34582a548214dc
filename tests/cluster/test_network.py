"""ISO-NET: packets, each refusal beside a connection that works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kubelive import Live, kubectl
from kubelive.backend import Backend, can_connect
from kubelive.workspaces import namespace_of, pod_of

if TYPE_CHECKING:
    from collections.abc import Callable

GATEWAY, OPERATOR_PORT, TOOL, RUNTIME = 8080, 9443, 8000, 8000
WORLD_ALLOWED, WORLD_DENIED, METADATA, PRIVATE = (
    "203.0.113.10",
    "203.0.113.20",
    "169.254.169.254",
    "10.254.0.10",
)


class Pods:
    """Names and addresses of a workspace's pods."""

    def __init__(self, live: Live, workspace: str) -> None:
        self.namespace = namespace_of(live, workspace)
        self._found = {
            "gateway": pod_of(live, self.namespace, "gateway"),
            "tool": pod_of(live, self.namespace, "tool"),
            "runtime": pod_of(live, self.namespace, "runtime"),
        }

    def connects(self, component: str, host: str, port: int) -> bool:
        """Whether that pod's own connection is accepted."""
        return can_connect(self.namespace, self._found[component]["metadata"]["name"], host, port)

    def ip(self, component: str) -> str:
        """The pod's address."""
        return str(self._found[component]["status"]["podIP"])


@pytest.fixture(scope="module")
def tenants(live: Live, pair: tuple[str, str]) -> tuple[Pods, Pods]:
    """The pods of two neighbours."""
    return Pods(live, pair[0]), Pods(live, pair[1])


def test_declared_arrows_work(tenants: tuple[Pods, Pods], backend: Backend) -> None:
    """Without this positive control, "blocked" could mean "nothing listens"."""
    mine, _ = tenants

    assert can_connect(backend.namespace, backend.pod, mine.ip("gateway"), GATEWAY)
    assert mine.connects("gateway", mine.ip("tool"), TOOL)
    assert mine.connects("gateway", mine.ip("runtime"), RUNTIME)
    assert mine.connects("runtime", mine.ip("gateway"), GATEWAY)


@pytest.mark.parametrize("source", ["gateway", "tool", "runtime"])
@pytest.mark.parametrize(
    ("target", "port"),
    [("gateway", GATEWAY), ("gateway", OPERATOR_PORT), ("tool", TOOL), ("runtime", RUNTIME)],
)
def test_no_pod_reaches_the_neighbour_tenant(
    tenants: tuple[Pods, Pods], source: str, target: str, port: int
) -> None:
    """ISO-NET-001: one tenant's pod must never get a connection to another tenant's."""
    mine, neighbour = tenants

    assert not mine.connects(source, neighbour.ip(target), port)


@pytest.mark.parametrize(
    ("source", "target", "port"),
    [
        ("tool", "gateway", GATEWAY),
        ("tool", "gateway", OPERATOR_PORT),
        ("tool", "runtime", RUNTIME),
        ("runtime", "tool", TOOL),
        ("runtime", "gateway", OPERATOR_PORT),
    ],
)
def test_undeclared_arrows_inside_a_tenant_are_blocked(
    tenants: tuple[Pods, Pods], source: str, target: str, port: int
) -> None:
    """ISO-NET-002: inside a workspace, too, only the arrows of the design exist."""
    mine, _ = tenants

    assert not mine.connects(source, mine.ip(target), port)


def test_a_stranger_reaches_no_gateway(tenants: tuple[Pods, Pods], backend: Backend) -> None:
    """ISO-NET-003: the backend may call the gateway, but not its operator port, tools or runtime."""
    mine, _ = tenants

    assert not can_connect(backend.namespace, backend.pod, mine.ip("gateway"), OPERATOR_PORT)
    assert not can_connect(backend.namespace, backend.pod, mine.ip("tool"), TOOL)
    assert not can_connect(backend.namespace, backend.pod, mine.ip("runtime"), RUNTIME)


@pytest.mark.parametrize("source", ["gateway", "tool", "runtime"])
@pytest.mark.parametrize(
    ("host", "port"),
    [(WORLD_DENIED, 443), (METADATA, 80), (PRIVATE, 80)],
    ids=["internet", "metadata", "private"],
)
def test_no_pod_gets_out(
    tenants: tuple[Pods, Pods], backend: Backend, source: str, host: str, port: int
) -> None:
    """ISO-NET-004: the same address answers a pod that no policy fences."""
    mine, _ = tenants

    assert can_connect(backend.namespace, backend.pod, host, port), "positive control: the world must answer"
    assert not mine.connects(source, host, port)


@pytest.mark.parametrize("source", ["gateway", "tool", "runtime"])
def test_no_pod_reaches_the_api_server(
    live: Live, tenants: tuple[Pods, Pods], backend: Backend, source: str
) -> None:
    """ISO-NET-005: neither by the Service nor by the node's address."""
    mine, _ = tenants
    service = kubectl("get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}").stdout
    node = kubectl(
        "get", "endpointslices", "-l", "kubernetes.io/service-name=kubernetes",
        "-o", "jsonpath={.items[0].endpoints[0].addresses[0]}",
    ).stdout  # fmt: skip

    assert can_connect(backend.namespace, backend.pod, service, 443), "positive control"
    assert not mine.connects(source, service, 443)
    assert can_connect(backend.namespace, backend.pod, node, 6443), "positive control"
    assert not mine.connects(source, node, 6443)


@pytest.mark.parametrize("source", ["tool", "runtime"])
def test_untrusted_pods_have_no_dns(tenants: tuple[Pods, Pods], backend: Backend, source: str) -> None:
    """ISO-NET-006: DNS is a way out, so a tenant's code has none, not even by asking the server directly."""
    mine, _ = tenants
    dns = kubectl(
        "get", "service", "-n", "kube-system", "kube-dns", "-o", "jsonpath={.spec.clusterIP}"
    ).stdout

    assert can_connect(backend.namespace, backend.pod, dns, 53), "positive control"
    assert not mine.connects(source, dns, 53)


_CONNECT_THROUGH = """
import socket, sys
proxy, target = sys.argv[1], sys.argv[2]
s = socket.create_connection((proxy.split(":")[0], int(proxy.split(":")[1])), timeout=5)
s.sendall(f"CONNECT {target} HTTP/1.1\\r\\nHost: {target}\\r\\n\\r\\n".encode())
status = int(s.recv(4096).split(b" ")[1])
if status == 200 and sys.argv[3] != "-":
    import ssl
    context = ssl.create_default_context()
    context.check_hostname = False; context.verify_mode = ssl.CERT_NONE
    try:
        s = context.wrap_socket(s, server_hostname=sys.argv[3])
    except OSError:
        status = 0
print(status)
"""


def _through_egress(namespace: str, pod: str, port: int, target: str, sni: str = "-") -> int:
    """The proxy's answer to CONNECT, or 0 where the tunnel was cut at the TLS greeting."""
    done = kubectl(
        "exec", "-n", namespace, pod, "--", "python3", "-c", _CONNECT_THROUGH, f"egress:{port}", target, sni
    )
    return int(done.stdout)


def test_egress_lets_out_to_allowed_hosts_only(live: Live, make: Callable[..., str]) -> None:
    """ISO-NET-007: the runtime's host and the tool's are two lists, told apart by the port they may reach."""
    name = make(
        "egress",
        runtime={},
        egress=[{"host": "allowed.world.test"}],
        tools=[{"name": "search", "egress": [{"host": "denied.world.test"}]}, {"name": "plain"}],
    )
    namespace = namespace_of(live, name)
    runtime = pod_of(live, namespace, "runtime")["metadata"]["name"]
    search = pod_of(live, namespace, "tool", tool="search")["metadata"]["name"]
    plain = pod_of(live, namespace, "tool", tool="plain")["metadata"]["name"]
    egress = pod_of(live, namespace, "egress")["status"]["podIP"]

    assert _through_egress(namespace, runtime, 3128, "allowed.world.test:443", "allowed.world.test") == 200
    assert _through_egress(namespace, runtime, 3128, "denied.world.test:443") == 403
    assert _through_egress(namespace, runtime, 3128, "allowed.world.test:8443") == 403
    assert _through_egress(namespace, runtime, 3128, "169.254.169.254:80") == 403
    assert _through_egress(namespace, runtime, 3128, "allowed.world.test:443", "denied.world.test") == 0
    assert _through_egress(namespace, search, 3129, "denied.world.test:443", "denied.world.test") == 200
    assert _through_egress(namespace, search, 3129, "allowed.world.test:443") == 403
    assert not can_connect(namespace, search, egress, 3128), "a tool must not borrow the runtime's list"
    assert not can_connect(namespace, runtime, egress, 3129), "the runtime must not borrow a tool's list"
    assert not can_connect(namespace, plain, egress, 3128)
    assert not can_connect(namespace, runtime, WORLD_ALLOWED, 443), "no way around the proxy"
