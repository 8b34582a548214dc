"""Debian root file systems made with mmdebstrap: the stand-in for kind's base image."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.cache import recipe_key, stored
from cluster.errors import StepFailed
from cluster.golang import module_folder
from cluster.process import run
from cluster.recipes import recipes

if TYPE_CHECKING:
    from cluster.progress import Progress
    from cluster.settings import Settings

DEBSTRAP_SECONDS = 900
NO_DOCUMENTS = tuple(
    f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale", "info")
)


def debootstrap(suite: str, packages: list[str], target: Path, log: Path, *extra: str) -> None:
    """A minimal Debian in `target`, with just the named packages on top and without documentation."""
    command = ["mmdebstrap", "--variant=minbase", "--mode=root", f"--include={','.join(packages)}"]
    command += ['--aptopt=APT::Install-Recommends "false"', *NO_DOCUMENTS, *extra]
    run([*command, suite, target], timeout=DEBSTRAP_SECONDS, log=log)


def kind_source(settings: Settings) -> Path:
    """The source of kind, whose files and constants the node image takes over."""
    return module_folder("sigs.k8s.io/kind", recipes().kind, settings.logs / "go-kind.log")


def base_packages(dockerfile: str) -> list[str]:
    """The packages that kind's own Dockerfile puts into its base image."""
    found = re.search(r"clean-install \\\n\s+systemd \\\n(.*?)&& find", dockerfile, re.DOTALL)
    if not found:
        raise StepFailed(
            "read kind's base Dockerfile: its package list is not where it was; look at rootfs.py"
        )
    return ["systemd", *found[1].replace("\\", " ").split()]


def node_base(settings: Settings, progress: Progress) -> Path:
    """Root file system with kind's packages, files and enabled units; no Kubernetes in it yet."""
    pinned = recipes()
    key = recipe_key(Path(__file__), pinned.kind, pinned.node_suite)
    return (
        stored(settings.store, "node-base", key, lambda aside: _make_base(aside, settings, progress)) / "root"
    )


def _make_base(aside: Path, settings: Settings, progress: Progress) -> None:
    source = kind_source(settings) / "images/base"
    log = settings.logs / "node-base.log"
    root = aside / "root"
    suite = recipes().node_suite
    with progress.step(f"Debian {suite} root for the nodes (log {log})"):
        debootstrap(suite, base_packages((source / "Dockerfile").read_text()), root, log)
        _copy_kind_files(source / "files", root)
        _trim_units(root)
        for action, units in (
            ("enable", ["kubelet.service", "containerd.service", "undo-mount-hacks.service"]),
            ("mask", ["systemd-binfmt.service"]),
        ):
            run(["chroot", root, "systemctl", action, *units], timeout=60, log=log)
        for folder in ("etc/kubernetes/manifests", "opt/cni/bin"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for trash in ("var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(root / trash, ignore_errors=True)
        (root / "etc/machine-id").unlink(missing_ok=True)


def _copy_kind_files(files: Path, root: Path) -> None:
    for name in ("usr", "etc", "kind"):
        for source in sorted((files / name).rglob("*")):
            target = root / source.relative_to(files)
            if source.is_dir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)
                executable = "bin" in target.parts
                target.chmod(0o755 if executable else 0o644)
    (root / "kind/manifests").mkdir(parents=True, exist_ok=True)


def _trim_units(root: Path) -> None:
    """What the RUN lines of kind's Dockerfile remove and add."""
    units = root / "lib/systemd/system"
    (units / "sysinit.target.wants/systemd-tmpfiles-setup.service").unlink(missing_ok=True)
    for folder, pattern in (
        (units, "multi-user.target.wants/*"),
        (root / "etc/systemd/system", "*.wants/*"),
        (units, "local-fs.target.wants/*"),
        (units, "sockets.target.wants/*udev*"),
        (units, "sockets.target.wants/*initctl*"),
        (units, "basic.target.wants/*"),
    ):
        for unit in folder.glob(pattern):
            unit.unlink()
    with (root / "etc/systemd/journald.conf").open("a") as journald:
        journald.write("ReadKMsg=no\n")
    init = root / "sbin/init"
    init.unlink(missing_ok=True)
    init.symlink_to("/usr/lib/systemd/systemd")
