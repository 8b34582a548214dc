"""Every address that a packet may be sent to, and who may: the design's arrows as one table."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from support.levels import SOURCES, UNTRUSTED, Tenant
from support.packets import OPEN, Place, Target, probe

from cluster.settings import (
    WORLD_ALLOWED,
    WORLD_DENIED,
    WORLD_DNS,
    WORLD_LINK_LOCAL,
    WORLD_METADATA,
    WORLD_MODEL,
    WORLD_PRIVATE,
)
from kubelive import Live, Ref, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["SILENT", "Stranger", "doors_of", "expected_from", "operators_own", "outside", "sent_by"]

SILENT: Final = "silent"

# Component and port -> who of the same workspace may connect. Nobody of another workspace ever may.
_ARROWS: Final[dict[tuple[str, int], tuple[str, ...]]] = {
    ("gateway", 8080): ("runtime",),
    ("gateway", 8082): UNTRUSTED,
    ("gateway", 9443): (),
    ("gateway", 8081): (),
    ("egress", 3128): ("runtime",),
    ("egress", 3129): ("tool-search",),
    ("egress", 8081): (),
    ("runtime", 8000): ("gateway",),
    ("runtime", 8081): (),
    ("tool-search", 8000): ("gateway",),
    ("tool-search", 8081): (),
    ("tool-plain", 8000): ("gateway",),
    ("serving", 8000): ("caller",),
}
_AT_ONCE: Final = 4  # each is a process with a hundred threads, on a small machine
_NO_SERVICE: Final = 8081  # the kubelet's probes go to pods
_NAMES: Final = ("cluster DNS (Service)", "cluster DNS (pod)")
_TRANSPORTS: Final = ("tcp", "udp")
# What is outside the workspace, and who may go there all the same.
_WAYS_OUT: Final[dict[str, tuple[str, ...]]] = {
    **{f"{place} {transport}": ("gateway", "egress") for place in _NAMES for transport in _TRANSPORTS},
    "canary": ("gateway",),
    # The proxy holds each client to its hosts; a NetworkPolicy knows addresses and ports only.
    "public, allowed 443": ("egress",),
    "public, denied 443": ("egress",),
}


@dataclass(frozen=True, slots=True)
class Stranger:
    """A pod that no policy fences, behind a Service with a NodePort."""

    place: Place
    pod_ip: str
    service_ip: str
    node_port: int


def _own_targets(tenant: Tenant, source: str, live: Live) -> dict[str, Target]:
    """What that pod shall try in its own workspace: everything but itself."""
    doors = _doors(live, tenant)
    return {f"own {name}": target for component, name, target in doors if component != source}


def doors_of(tenants: Iterable[Tenant], live: Live) -> dict[str, Target]:
    """Everything that listens in these workspaces."""
    return {
        f"{tenant.level} {name}": target for tenant in tenants for _, name, target in _doors(live, tenant)
    }


def expected_from(level: str, source: str, targets: Iterable[str]) -> dict[str, str]:
    """What shall become of each target if that pod of a workspace tries.

    In a user namespace the kernel makes no socket for pings: containerd opens them to groups of the node.
    """
    mute = "EACCES" if level == "UserNamespace" and source in UNTRUSTED else SILENT
    inside = {f"own {_door(*at)}": sources for at, sources in _ARROWS.items()}
    allowed = {
        **_WAYS_OUT,
        **{f"{door} ({by})": sources for door, sources in inside.items() for by in ("pod", "Service")},
    }
    return {
        name: OPEN if source in allowed.get(name, ()) else mute if name.endswith(" ping") else SILENT
        for name in targets
    }


def outside(live: Live, stranger: Stranger) -> dict[str, Target]:
    """Everything that is no workspace's: nodes, the control plane, DNS, the world, other pods."""
    api = live.get(Ref("Service", "kubernetes", "default"))["spec"]["clusterIP"]
    canary = _pod(live, "bulkhead-system", "app.kubernetes.io/component=canary")
    return {
        **dict(_nodes(live, stranger)),
        "API server (Service)": Target(api, 443),
        "stranger (pod)": Target(stranger.pod_ip, 8000),
        "stranger (Service)": Target(stranger.service_ip, 8000),
        "stranger ping": Target(stranger.pod_ip, 0, "icmp"),
        "gateway of the pod network, kubelet": Target(_first_hop(stranger.place), 10250),
        "canary": Target(canary, 8090),
        **dict(_resolvers(live)),
        **_world(),
    }


def sent_by(
    tenants: Mapping[str, Tenant], around: Mapping[str, Target], live: Live
) -> dict[tuple[str, str], dict[str, str]]:
    """Level and pod -> target -> outcome, for each pod of each tenant to all three and to what is around."""

    def look(tenant: Tenant, source: str) -> dict[str, str]:
        neighbours = [other for other in tenants.values() if other is not tenant]
        targets = {**_own_targets(tenant, source, live), **doors_of(neighbours, live), **around}
        expected = expected_from(tenant.level, source, targets)
        return probe(tenant.place(source), targets, wanted=[n for n in targets if expected[n] == OPEN])

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        asked = {
            (level, source): pool.submit(look, tenant, source)
            for level, tenant in tenants.items()
            for source in SOURCES
        }
        return {at: future.result() for at, future in asked.items()}


def operators_own(live: Live) -> tuple[Place, dict[str, Target]]:
    """A pod of the operator, and what it listens on."""
    (pod, *_) = live.items("Pod", "bulkhead-system", selector="app.kubernetes.io/component=operator")
    place = Place("bulkhead-system", pod["metadata"]["name"], pod["spec"]["containers"][0]["name"])
    address = pod["status"]["podIP"]
    return place, {"operator's metrics": Target(address, 9464), "operator's health": Target(address, 8081)}


def _door(component: str, port: int) -> str:
    return f"{component}:{port}"


def _doors(live: Live, tenant: Tenant) -> Iterator[tuple[str, str, Target]]:
    """Component, name and target of everything that listens in a workspace."""
    for component, port in _ARROWS:
        name = _door(component, port)
        yield component, f"{name} (pod)", Target(tenant.pods[component]["status"]["podIP"], port)
        if port != _NO_SERVICE:
            service = live.get(Ref("Service", component, tenant.namespace))
            yield component, f"{name} (Service)", Target(service["spec"]["clusterIP"], port)


def _nodes(live: Live, stranger: Stranger) -> Iterator[tuple[str, Target]]:
    for node in live.items("Node"):
        name = node["metadata"]["name"]
        (address, *_) = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"]
        ports = {"kubelet": 10250, "kube-proxy": 10256, "NodePort": stranger.node_port}
        if "node-role.kubernetes.io/control-plane" in node["metadata"]["labels"]:
            ports |= {"API server": 6443, "etcd": 2379, "etcd peers": 2380}
        yield from ((f"{name} {what}", Target(address, port)) for what, port in ports.items())
        yield f"{name} ping", Target(address, 0, "icmp")


def _resolvers(live: Live) -> Iterator[tuple[str, Target]]:
    service = live.get(Ref("Service", "kube-dns", "kube-system"))["spec"]["clusterIP"]
    pod = _pod(live, "kube-system", "k8s-app=kube-dns")
    places = (*zip(_NAMES, (service, pod), strict=True), ("DNS outside", WORLD_DNS))
    for place, address in places:
        yield from ((f"{place} {transport}", Target(address, 53, transport)) for transport in _TRANSPORTS)


def _world() -> dict[str, Target]:
    return {
        "cloud metadata": Target(WORLD_METADATA, 80),
        "link-local": Target(WORLD_LINK_LOCAL, 80),
        "private 80": Target(WORLD_PRIVATE, 80),
        "private 443": Target(WORLD_PRIVATE, 443),
        "public, allowed 443": Target(WORLD_ALLOWED, 443),
        "public, allowed 80": Target(WORLD_ALLOWED, 80),
        "public, denied 443": Target(WORLD_DENIED, 443),
        "public, denied 8080": Target(WORLD_DENIED, 8080),
        "model": Target(WORLD_MODEL, 8000),
    }


def _pod(live: Live, namespace: str, selector: str) -> str:
    """The address of a running one."""
    found = [each["status"] for each in live.items("Pod", namespace, selector=selector)]
    return str(next(status["podIP"] for status in found if status["phase"] == "Running"))


def _first_hop(place: Place) -> str:
    """Where that pod's default route leads: on many engines an address of the node's own."""
    code = (
        "import socket\n"
        "for line in open('/proc/net/route'):\n"
        "    _, target, hop, *_ = line.split()\n"
        "    if target == '00000000': print(socket.inet_ntoa(bytes.fromhex(hop)[::-1]))\n"
    )
    return kubectl("exec", "-n", place.namespace, place.pod, "--", "python3", "-c", code).stdout.split()[0]
