"""Container images as docker archives, without a container engine or a Dockerfile."""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.process import attempt, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ENV_PATH = "PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
TEMPORARY = "/tmp"  # noqa: S108 - a folder of the image, not of this machine
CREATED = "2026-01-01T00:00:00Z"  # constant, so that equal content has equal digests


@dataclass(frozen=True)
class Image:
    """An image of one layer: its names, its config and the compressed layer."""

    tags: tuple[str, ...]
    config: bytes
    diff_id: str
    blob: bytes


def make_image(
    tags: Sequence[str],
    files: Mapping[str, Path],
    links: Mapping[str, str] | None = None,
    *,
    entrypoint: Sequence[str] | None = None,
    cmd: Sequence[str] | None = None,
    user: str = "",
) -> Image:
    """An image of `files` (path inside: source) and `links` (path inside: target)."""
    raw = _layer(files, links or {})
    packed = _pigz(raw)
    diff_id = hashlib.sha256(raw).hexdigest()
    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": {"Env": [ENV_PATH], "Entrypoint": entrypoint, "Cmd": cmd, "User": user, "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff_id}"]},
        "history": [{"created": CREATED, "created_by": "bulkhead tools/cluster"}],
    }
    return Image(tuple(tags), json.dumps(config).encode(), diff_id, packed)


def archive(images: Iterable[Image]) -> bytes:
    """A docker archive of several images.

    `repositories` comes first: kind reads the names from the first of it and `manifest.json`, and of the
    latter only its first entry.
    """
    images = list(images)
    repositories: dict[str, dict[str, str]] = {}
    manifest = []
    members: dict[str, bytes] = {}
    for image in images:
        for tag in image.tags:
            name, version = tag.rsplit(":", 1)
            repositories.setdefault(name, {})[version] = image.diff_id
        config_name = f"{hashlib.sha256(image.config).hexdigest()}.json"
        layer_name = f"{image.diff_id}/layer.tar"
        manifest.append({"Config": config_name, "RepoTags": list(image.tags), "Layers": [layer_name]})
        members |= {config_name: image.config, layer_name: image.blob}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        add_bytes(tar, "repositories", json.dumps(repositories).encode())
        add_bytes(tar, "manifest.json", json.dumps(manifest).encode())
        for name, data in members.items():
            add_bytes(tar, name, data)
    return buffer.getvalue()


def add_bytes(tar: tarfile.TarFile, name: str, data: bytes, mode: int = 0o644) -> None:
    """Put one file of known content into an archive."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    info.mode = mode
    tar.addfile(info, io.BytesIO(data))


def closure(programs: Iterable[str], root: Path) -> dict[str, Path]:
    """Dynamically linked programs of a root file system together with the libraries they need."""
    found: dict[str, Path] = {}
    for program in programs:
        _, linked, _ = attempt(["chroot", root, "ldd", program], timeout=30)
        for file in [program, *re.findall(r"(/\S+) \(0x", linked)]:
            real = run(["chroot", root, "readlink", "-f", file], timeout=30).strip()
            found[str(Path(file))] = root / real.lstrip("/")
    return found


def tree(source: Path, inside: str) -> dict[str, Path]:
    """Every file below a folder, as it shall lie in an image."""
    return {f"{inside}/{f.relative_to(source)}": f for f in sorted(source.rglob("*")) if f.is_file()}


def _layer(files: Mapping[str, Path], links: Mapping[str, str]) -> bytes:
    buffer = io.BytesIO()
    folders = {str(parent) for path in (*files, *links) for parent in Path(path).parents}
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for folder in sorted((folders | {TEMPORARY}) - {"/"}):
            info = tarfile.TarInfo(folder.lstrip("/"))
            info.type = tarfile.DIRTYPE
            info.mode = 0o1777 if folder == TEMPORARY else 0o755
            tar.addfile(info)
        for inside, source in sorted(files.items()):
            info = tarfile.TarInfo(inside.lstrip("/"))
            info.size = source.stat().st_size
            # Scripts out of Go's module cache have lost their executable bit.
            info.mode = 0o755 if inside.endswith(".sh") else (source.stat().st_mode & 0o7777) | 0o200
            with source.open("rb") as stream:
                tar.addfile(info, stream)
        for inside, target in sorted(links.items()):
            info = tarfile.TarInfo(inside.lstrip("/"))
            info.type = tarfile.SYMTYPE
            info.linkname = target
            tar.addfile(info)
    return buffer.getvalue()


def _pigz(raw: bytes) -> bytes:
    return subprocess.run(
        ["pigz", "-n", "-3", "-c"], input=raw, capture_output=True, check=True, timeout=300
    ).stdout
