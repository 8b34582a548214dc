"""Where everything lives and which addresses are used: read once from the environment, then frozen."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

CLUSTER_NAME = "bulkhead"
CONTROL_PLANE = "bulkhead-control-plane"
NODES = (CONTROL_PLANE, "bulkhead-worker")
WORLD_CONTAINER = "bulkhead-world"
AUDIT_LOG = "/var/log/kubernetes/audit/audit.log"

# 198.18.0.0/15 is reserved for benchmarks (RFC 2544): no network that a machine is on collides with it.
POD_CIDR = "198.19.0.0/17"
SERVICE_CIDR = "198.19.128.0/20"
ENGINE_BRIDGE = "198.18.64.1/24"
ENGINE_POOL = "198.18.128.0/17"
MACHINE_ADDRESS = "198.18.0.5/30"
API_ADDRESS = "198.18.0.6"

# What the `world` container answers for. 203.0.113.0/24 is TEST-NET-3 (RFC 5737).
WORLD_ALLOWED = "203.0.113.10"
WORLD_DENIED = "203.0.113.20"
WORLD_MODEL = "203.0.113.30"
WORLD_DNS = "203.0.113.53"
WORLD_METADATA = "169.254.169.254"
WORLD_LINK_LOCAL = "169.254.20.10"
WORLD_PRIVATE = "10.254.0.10"
WORLD_PREFIXES = ("203.0.113.0/24", f"{WORLD_METADATA}/32", f"{WORLD_LINK_LOCAL}/32", f"{WORLD_PRIVATE}/32")
WORLD_ZONE = "world.test"

NETNS = "bulkhead"
VETH = "bulkhead0"
VETH_PEER = "up0"
CGROUP = "bulkhead"
MARK = "BULKHEAD_CLUSTER_PROCESS"
"""Environment variable that every command we start carries; its value is the cache folder."""
ENGINE_MARK = "BULKHEAD_CLUSTER_ENGINE"
"""The same for the engine that we start, which outlives the command."""


@dataclass(frozen=True)
class Settings:
    """Choices of one run; `cache` is absolute."""

    cache: Path
    cluster: str = "kind"
    engine: str = "auto"
    assume_yes: bool = False

    @property
    def run(self) -> Path:
        """State of the running cluster; emptied by `down`."""
        return self.cache / "run"

    @property
    def logs(self) -> Path:
        """What builders and engines print."""
        return self.cache / "log"

    @property
    def store(self) -> Path:
        """Finished artefacts, each named by the hash of what it is made from."""
        return self.cache / "store"

    @property
    def engine_data(self) -> Path:
        """Images of the engine that the project starts itself."""
        return self.cache / "engine"

    @property
    def kubeconfig(self) -> Path:
        """Access to the running kind cluster."""
        return self.run / "kubeconfig"

    @property
    def world_ca(self) -> Path:
        """Certificate of the test CA that signs the world's servers."""
        return self.run / "world-ca.crt"

    @property
    def runtime(self) -> Path:
        """Sockets of our engine: a fixed short path, since a socket's name may have 107 bytes only."""
        return Path("/run/bulkhead-cluster")

    @property
    def docker_socket(self) -> Path:
        """Where our engine answers."""
        return self.runtime / "docker.sock"


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Settings as the environment asks; an unknown choice is refused by name."""
    home_cache = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME", "/root")) / ".cache")
    cache = Path(environment.get("BULKHEAD_CACHE") or Path(home_cache) / "bulkhead").expanduser().absolute()
    return Settings(
        cache=cache,
        cluster=_choice(environment, "CLUSTER", ("kind", "current")),
        engine=_choice(environment, "BULKHEAD_ENGINE", ("auto", "host", "local")),
        assume_yes=environment.get("BULKHEAD_ASSUME_YES") == "1",
    )


def _choice(environment: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = environment.get(name) or allowed[0]
    if value not in allowed:
        raise Refusal(f"{name}={value} is unknown; use one of {', '.join(allowed)}")
    return value
