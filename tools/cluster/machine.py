"""What the machine must be, and the Debian packages that the local mode puts on it."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import Refusal
from cluster.process import attempt, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cluster.progress import Progress
    from cluster.settings import Settings

APT_SECONDS = 900
LOCK_SECONDS = 300
POLICY = Path("/usr/sbin/policy-rc.d")
# Images are built side by side, each asking for the same packages, and dpkg lets in only one.
_installing = threading.Lock()


def local_mode_obstacle(*, platform: str, uid: int, apt: bool, arch: str = "x86_64") -> str | None:
    """Why the local mode cannot work here, said to a person; None when nothing stands against it."""
    instead = "start a container engine (and `docker info` must answer), or set CLUSTER=current"
    if platform != "linux":
        return f"without a container engine the cluster needs Linux, and this is {platform}; {instead}"
    if arch != "x86_64":
        return f"the local mode is made for x86_64 and this is {arch}; {instead}"
    if uid != 0:
        return f"without a container engine it needs root, and this is uid {uid}; use sudo, or {instead}"
    if not apt:
        return f"the local mode installs its tools with apt-get, which is not here; {instead}"
    return None


def require_local_mode() -> None:
    """Refuse, before anything is changed, where the local mode cannot work."""
    found = any(Path(folder, "apt-get").exists() for folder in ("/usr/bin", "/bin"))
    obstacle = local_mode_obstacle(platform=sys.platform, uid=os.getuid(), apt=found, arch=os.uname().machine)
    if obstacle:
        raise Refusal(obstacle)


def missing_packages(wanted: Sequence[str]) -> list[str]:
    """Those of the named Debian packages that are not installed."""
    _, out, _ = attempt(["dpkg-query", "-W", "-f", "${Package} ${Status}\\n", *wanted], timeout=60)
    installed = {line.split(" ", 1)[0] for line in out.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in installed]


def install_packages(wanted: Sequence[str], settings: Settings, progress: Progress) -> None:
    """All of `wanted` are installed afterwards, and no service was started by that; one caller at a time."""
    with _installing:
        missing = missing_packages(wanted)
        if missing:
            _install(missing, settings, progress)


def _install(missing: Sequence[str], settings: Settings, progress: Progress) -> None:
    log = settings.logs / "apt.log"
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    progress.say(f"installing Debian packages: {' '.join(missing)}")
    # The timeout is for others on the machine, such as unattended upgrades on a fresh one.
    apt = ["apt-get", "-o", f"DPkg::Lock::Timeout={LOCK_SECONDS}"]
    install = [*apt, "install", "-y", "--no-install-recommends", *missing]
    with progress.step("apt-get install"), no_services_started():
        # Lists that know every package are good enough: an update costs ten seconds.
        code, _, _ = attempt(install, timeout=APT_SECONDS, env=env, log=log)
        if code != 0:
            run([*apt, "update"], timeout=APT_SECONDS, env=env, log=log)
            run(install, timeout=APT_SECONDS, env=env, log=log)


@contextmanager
def no_services_started() -> Iterator[None]:
    """While it lasts, no package starts its service: dockerd belongs in our namespace, not the machine's."""
    kept = POLICY.read_bytes() if POLICY.exists() else None
    mode = POLICY.stat().st_mode if kept is not None else 0
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        if kept is None:
            POLICY.unlink()
        else:
            POLICY.write_bytes(kept)
            POLICY.chmod(mode)
