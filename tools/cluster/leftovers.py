"""Everything of ours that can outlive a command: how it is found, and how it is ended."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.process import attempt
from cluster.settings import CGROUP, ENGINE_MARK, MARK, NETNS, VETH

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.settings import Settings

CGROUP_ROOT = Path("/sys/fs/cgroup")
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Leftovers:
    """What is still there, by kind."""

    processes: tuple[int, ...] = ()
    mounts: tuple[str, ...] = ()
    cgroups: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any((self.processes, self.mounts, self.cgroups, self.links, self.namespaces))

    def describe(self) -> str:
        """Each kind with its items, for a person."""
        named = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return "; ".join(f"{name}: {', '.join(map(str, items))}" for name, items in named.items() if items)


def find(settings: Settings) -> Leftovers:
    """All that is left of our engine and its cluster on this machine."""
    network = Path("/run/netns", NETNS)
    return Leftovers(
        processes=tuple(sorted(_ours(settings))),
        mounts=tuple(_mounts(settings)),
        cgroups=tuple(str(folder) for folder in _cgroups()),
        links=(VETH,) if Path("/sys/class/net", VETH).exists() else (),
        namespaces=(str(network),) if network.exists() else (),
    )


def end_builders(settings: Settings) -> None:
    """No builder that a killed command left behind still runs; the engine is left alone."""
    _end(lambda: _marked(settings, MARK))


def sweep(settings: Settings) -> Leftovers:
    """End processes, mounts, link, namespace and cgroups of ours; what resisted is returned."""
    _end(lambda: _ours(settings))
    for target in _mounts(settings):
        attempt(["umount", target], timeout=20)
    for target in _mounts(settings):  # a mount that is busy no more once everything above it is gone
        attempt(["umount", "-l", target], timeout=20)
    attempt(["ip", "link", "del", VETH], timeout=20)
    attempt(["ip", "netns", "del", NETNS], timeout=20)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _cgroups() and time.monotonic() < deadline:
        for root in _cgroups():
            for folder in sorted(root.rglob("*"), key=lambda path: -len(path.parts)):
                if folder.is_dir():
                    _rmdir(folder)
            _rmdir(root)
        time.sleep(0.1)
    return find(settings)


def _rmdir(folder: Path) -> None:
    with suppress(OSError):  # its last process may not be reaped yet
        folder.rmdir()


def _end(find_them: Callable[[], set[int]]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    how = signal.SIGTERM
    while (pids := find_them()) and time.monotonic() < deadline:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, how)
        time.sleep(0.3)
        how = signal.SIGKILL


def _processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _ours(settings: Settings) -> set[int]:
    return _marked(settings, MARK) | _marked(settings, ENGINE_MARK) | _in_cgroups() | _in_namespace()


def _marked(settings: Settings, name: str) -> set[int]:
    """Processes that were started with this mark of ours in their environment, except this one."""
    mark = f"{name}={settings.cache}".encode()
    found = set()
    for pid in _processes():
        with suppress(OSError):  # it ended while we looked, or is another user's
            if mark in Path("/proc", str(pid), "environ").read_bytes().split(b"\0") and pid != os.getpid():
                found.add(pid)
    return found


def _in_cgroups() -> set[int]:
    found: set[int] = set()
    for root in _cgroups():
        for listing in [root / "cgroup.procs", *root.rglob("cgroup.procs")]:
            with suppress(OSError):
                found |= {int(word) for word in listing.read_text().split()}
    return found - {0}


def _in_namespace() -> set[int]:
    code, out, _ = attempt(["ip", "netns", "pids", NETNS], timeout=20)
    return {int(word) for word in out.split()} if code == 0 else set()


def _cgroups() -> list[Path]:
    candidates = [CGROUP_ROOT / CGROUP, *CGROUP_ROOT.glob(f"*/{CGROUP}")]
    return [folder for folder in candidates if folder.is_dir()]


def _mounts(settings: Settings) -> list[str]:
    """Mount points below our folders, innermost first."""
    ours = (f"{settings.cache}/", f"{settings.runtime}/")
    with Path("/proc/self/mounts").open() as table:
        targets = [line.split()[1].replace("\\040", " ") for line in table]
    return [target for target in reversed(targets) if target.startswith(ours)]
