"""ISO-NET-007: through the egress proxy, in each level, only to the hosts of the one who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.packets import Tunnel, through_proxy

from cluster.settings import WORLD_ALLOWED, WORLD_METADATA, WORLD_PRIVATE

if TYPE_CHECKING:
    from support.levels import Tenant

RUNTIMES, SEARCHES = 3128, 3129  # the proxy's ports: which one is open to a pod is who the pod is
ALLOWED, DENIED = "allowed.world.test", "denied.world.test"


def test_the_runtime_gets_out_to_its_host_only(tenant: Tenant) -> None:
    """The control is the first line: the same proxy, the same pod, the one allowed host."""
    asked = {
        "its host": ("200", Tunnel(RUNTIMES, f"{ALLOWED}:443", ALLOWED)),
        "another name in the TLS greeting": ("cut", Tunnel(RUNTIMES, f"{ALLOWED}:443", DENIED)),
        "a host of a tool's": ("403", Tunnel(RUNTIMES, f"{DENIED}:443")),
        "another port of its host": ("403", Tunnel(RUNTIMES, f"{ALLOWED}:80")),
        "the address of its host": ("403", Tunnel(RUNTIMES, f"{WORLD_ALLOWED}:443")),
        "cloud metadata": ("403", Tunnel(RUNTIMES, f"{WORLD_METADATA}:80")),
        "a private address": ("403", Tunnel(RUNTIMES, f"{WORLD_PRIVATE}:443")),
        "a name of the cluster": ("403", Tunnel(RUNTIMES, "kubernetes.default.svc.cluster.local:443")),
    }

    found = through_proxy(tenant.place("runtime"), {name: tunnel for name, (_, tunnel) in asked.items()})

    assert {name: answer for name, (answer, _) in asked.items()} == found


def test_a_tool_gets_out_to_its_own_host_only(tenant: Tenant) -> None:
    """A tool must not borrow the runtime's list. Its port alone is open to it: test_packets."""
    asked = {
        "its host": ("200", Tunnel(SEARCHES, f"{DENIED}:443", DENIED)),
        "the runtime's host": ("403", Tunnel(SEARCHES, f"{ALLOWED}:443")),
    }

    found = through_proxy(tenant.place("tool-search"), {name: tunnel for name, (_, tunnel) in asked.items()})

    assert {name: answer for name, (answer, _) in asked.items()} == found
