"""The container engine: the user's where one answers, else dockerd in a network namespace without uplink."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import Refusal, StepFailed
from cluster.process import attempt, run, tail, wait_for
from cluster.recipes import DATA
from cluster.settings import (
    API_ADDRESS,
    CGROUP,
    ENGINE_BRIDGE,
    ENGINE_MARK,
    ENGINE_POOL,
    MACHINE_ADDRESS,
    MARK,
    NETNS,
    VETH,
    VETH_PEER,
    WORLD_DNS,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.progress import Progress
    from cluster.settings import Settings

# Not `ip netns exec`: that one remounts /sys, and the cgroups below it are gone.
ENTER = ("nsenter", f"--net=/run/netns/{NETNS}")


@dataclass(frozen=True)
class Engine:
    """How to reach an engine; `enter` is put before commands that must share its network."""

    docker: str
    environment: dict[str, str]
    enter: tuple[str, ...] = ()

    @property
    def ours(self) -> bool:
        """Whether the project started it, so that it may be stopped and wiped."""
        return bool(self.enter)

    def run(self, *arguments: str | Path, timeout: float = 120, log: Path | None = None) -> str:
        """Standard output of a docker command."""
        return run([self.docker, *arguments], timeout=timeout, env=self.environment, log=log)

    def answers(self, *arguments: str | Path, timeout: float = 60) -> bool:
        """Whether a docker command ends with 0."""
        return attempt([self.docker, *arguments], timeout=timeout, env=self.environment)[0] == 0

    def exec(self, container: str, *command: str, stdin: bytes | None = None, timeout: float = 60) -> str:
        """Standard output of a command inside a container."""
        flag = ["-i"] if stdin is not None else []
        argv = [self.docker, "exec", *flag, container, *command]
        return run(argv, timeout=timeout, env=self.environment, stdin=stdin)


def host_engine() -> Engine | None:
    """The engine that `docker` reaches in this environment, or None."""
    docker = shutil.which("docker")
    if docker is None:
        return None
    engine = Engine(docker, dict(os.environ))
    return engine if engine.answers("info", timeout=20) else None


def our_engine(settings: Settings) -> Engine:
    """The engine that the local mode starts; it need not run yet."""
    # Debian's client first: another one in /usr/local/bin may be too new to talk to Debian's daemon.
    path = f"{settings.run / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin:{os.environ.get('PATH', '')}"
    environment = {**os.environ, "DOCKER_HOST": f"unix://{settings.docker_socket}", "PATH": path}
    return Engine("/usr/bin/docker", environment, ENTER)


def daemon_config(settings: Settings) -> dict[str, object]:
    """Configuration of dockerd: nothing outside our folders, our addresses, our cgroup."""
    return {
        "hosts": [f"unix://{settings.docker_socket}"],
        "data-root": str(settings.engine_data),
        "exec-root": str(settings.runtime / "exec"),
        "pidfile": str(settings.runtime / "dockerd.pid"),
        "storage-driver": "overlay2",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],
        "cgroup-parent": f"/{CGROUP}",
        "bip": ENGINE_BRIDGE,
        "default-address-pools": [{"base": ENGINE_POOL, "size": 24}],
        "dns": [WORLD_DNS],
        "oom-score-adjust": 0,
        "runtimes": {"nocap": {"path": str(settings.run / "runc-nocap")}},
        "default-runtime": "nocap",
        "log-driver": "json-file",
    }


def start_our_engine(settings: Settings, progress: Progress) -> Engine:
    """Our engine answers afterwards, from a namespace whose only way out is a link to this machine."""
    claim(settings)
    engine = our_engine(settings)
    _make_namespace()
    if engine.answers("version", timeout=10):
        progress.say("engine: already runs")
        return engine
    for folder in (settings.runtime, settings.engine_data, settings.logs):
        folder.mkdir(parents=True, exist_ok=True)
    wrapper = settings.run / "runc-nocap"
    shutil.copy(DATA / "runc-nocap", wrapper)
    wrapper.chmod(0o755)
    config = settings.run / "daemon.json"
    config.write_text(json.dumps(daemon_config(settings), indent=2))
    (settings.runtime / "dockerd.pid").unlink(missing_ok=True)
    log = settings.logs / "dockerd.log"
    with log.open("wb") as sink:
        daemon = subprocess.Popen(
            [*ENTER, "dockerd", "--config-file", str(config)],
            stdin=subprocess.DEVNULL, stdout=sink, stderr=subprocess.STDOUT, start_new_session=True,
            env=engine_environment(engine, settings),
        )  # fmt: skip

    def up() -> bool:
        if daemon.poll() is not None:
            raise StepFailed(f"start dockerd: exit {daemon.returncode}; all of it in {log}\n{tail(log)}")
        return engine.answers("version", timeout=10)

    wait_for(f"dockerd (log {log})", up, timeout=60)
    progress.say("engine: dockerd answers, in a namespace without uplink")
    return engine


def engine_environment(engine: Engine, settings: Settings) -> dict[str, str]:
    """Environment of dockerd: the engine's mark in place of a command's; all that it starts has it too."""
    return {k: v for k, v in engine.environment.items() if k != MARK} | {ENGINE_MARK: str(settings.cache)}


def claim(settings: Settings) -> None:
    """This cache folder owns the machine's one namespace, or a refusal that names the one which does."""
    settings.runtime.mkdir(parents=True, exist_ok=True)
    owner = settings.runtime / "owner"
    if not owner.exists():
        owner.write_text(str(settings.cache))
    holder = owner.read_text()
    if holder != str(settings.cache):
        raise Refusal(
            f"another cluster of ours is on this machine, made with BULKHEAD_CACHE={holder}; "
            f"take it down with that setting, or use it"
        )


def _make_namespace() -> None:
    if not Path("/run/netns", NETNS).exists():
        run(["ip", "netns", "add", NETNS], timeout=20)
    run(["ip", "-n", NETNS, "link", "set", "lo", "up"], timeout=20)
    if not Path("/sys/class/net", VETH).exists():
        run(
            ["ip", "link", "add", VETH, "type", "veth", "peer", "name", VETH_PEER, "netns", NETNS], timeout=20
        )
        run(["ip", "addr", "add", MACHINE_ADDRESS, "dev", VETH], timeout=20)
        run(["ip", "-n", NETNS, "addr", "add", f"{API_ADDRESS}/30", "dev", VETH_PEER], timeout=20)
    # A link and no route: the machine reaches the API server, and nothing in there has a way out.
    run(["ip", "link", "set", VETH, "up"], timeout=20)
    run(["ip", "-n", NETNS, "link", "set", VETH_PEER, "up"], timeout=20)


def in_namespace(engine: Engine, argv: Sequence[str | Path]) -> list[str | Path]:
    """The command as it must be started to share the engine's network."""
    return [*engine.enter, *argv]
