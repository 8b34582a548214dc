"""Images out of the Dockerfiles: by buildah on a Debian root made here, or by the user's engine."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.archive import add_bytes
from cluster.cache import recipe_key, stored
from cluster.engine import host_engine
from cluster.machine import install_packages, require_local_mode
from cluster.process import run
from cluster.rootfs import NO_DOCUMENTS, debootstrap
from images.dependencies import requirements, unpacked
from images.specs import MAKE_ROOT, REPOSITORY

if TYPE_CHECKING:
    from cluster.engine import Engine
    from cluster.progress import Progress
    from cluster.settings import Settings
    from images.specs import Spec

PUBLIC_BASE = "docker.io/library/debian:trixie-slim"
LOCAL_BASE = "localhost/base"
SUITE = "trixie"
BASE_PACKAGES = ["ca-certificates", "python3"]
BUILD_PACKAGES = ("buildah", "mmdebstrap")
BUILD_SECONDS = 600
IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc")


@dataclass(frozen=True)
class Built:
    """A finished image: its archive, its content-named reference, its id and its size without compression."""

    archive: Path
    reference: str
    image_id: str
    unpacked_bytes: int


@dataclass(frozen=True)
class Builder:
    """Who builds, on which base; `engine` is None where buildah does."""

    settings: Settings
    progress: Progress
    engine: Engine | None

    @property
    def base_key(self) -> str:
        """What the base is made from and how it is built on, as text."""
        recipe = recipe_key(Path(__file__), SUITE, *BASE_PACKAGES, *NO_DOCUMENTS)
        return PUBLIC_BASE if self.engine else recipe


def builder(settings: Settings, progress: Progress) -> Builder:
    """The user's engine where it can have the public base, else buildah (which this installs)."""
    engine = host_engine() if settings.engine != "local" else None
    if engine and not engine.answers("image", "inspect", PUBLIC_BASE):
        engine = engine if engine.answers("pull", "-q", PUBLIC_BASE, timeout=300) else None
    return Builder(settings, progress, engine)


def key_of(spec: Spec, who: Builder) -> str:
    """12 hex digits that change with anything the image is made from."""
    return spec.key(requirements(spec), who.base_key)


def build(spec: Spec, who: Builder) -> Built:
    """The image, built if no equal one was built before."""
    images = who.settings.cache / "images"
    wanted = requirements(spec)
    context = images / f".context-{spec.name}"
    # The key is of the copy: somebody may be editing the sources right now.
    _copy_sources(spec, context)
    key = spec.key(wanted, who.base_key, context)
    folder = stored(images, spec.name, key, lambda aside: make(spec, who, context, wanted, aside))
    shutil.rmtree(context)
    return describe(spec, folder / f"{spec.name}.tar", key)


def make(spec: Spec, who: Builder, context: Path, wanted: str, target: Path) -> None:
    """`<name>.tar` in `target`: a docker archive under the moving and the content name."""
    settings = who.settings
    reference = spec.reference(spec.key(wanted, who.base_key, context))
    dependencies = unpacked(spec, wanted, settings, who.progress)
    shutil.copytree(dependencies, context / "deps", ignore=IGNORED, dirs_exist_ok=True)
    archive = target / f"{spec.name}.tar"
    log = settings.logs / f"image-{spec.name}.log"
    log.unlink(missing_ok=True)
    with who.progress.step(f"build {reference} (log {log})"):
        if who.engine:
            _by_engine(who.engine, spec, context, archive, log)
        else:
            _by_buildah(who, spec, context, archive, log)
    _name(archive, [spec.development_name, reference])


def build_again(spec: Spec, who: Builder) -> Built:
    """The image built once more from the present sources, past the cache; its archive is gone then."""
    aside = who.settings.cache / "images" / f".{spec.name}-again"
    shutil.rmtree(aside, ignore_errors=True)
    context = aside / "context"
    _copy_sources(spec, context)
    wanted = requirements(spec)
    make(spec, who, context, wanted, aside)
    built = describe(spec, aside / f"{spec.name}.tar", spec.key(wanted, who.base_key, context))
    shutil.rmtree(aside)
    return built


def _copy_sources(spec: Spec, context: Path) -> None:
    shutil.rmtree(context, ignore_errors=True)
    for path in (spec.dockerfile, MAKE_ROOT):
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / path, context / path)
    for path in spec.sources:
        shutil.copytree(REPOSITORY / path, context / path, ignore=IGNORED)


def _by_engine(engine: Engine, spec: Spec, context: Path, archive: Path, log: Path) -> None:
    command = ["build", "--build-arg", f"BASE={PUBLIC_BASE}", "-t", spec.development_name]
    engine.run(*command, "-f", context / spec.dockerfile, context, timeout=BUILD_SECONDS, log=log)
    engine.run("save", "-o", archive, spec.development_name, timeout=300, log=log)


def _by_buildah(who: Builder, spec: Spec, context: Path, archive: Path, log: Path) -> None:
    settings = who.settings
    require_local_mode()
    install_packages(BUILD_PACKAGES, settings, who.progress)
    base = _base(settings, who.progress)
    # A storage of its own that goes with the build: nothing is left to prune, and two builds are strangers.
    storage = archive.parent / "storage"
    flags: list[str | Path] = ["buildah", "--root", storage, "--runroot", storage / "run"]
    flags += ["--storage-driver", "vfs"]
    env = {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(archive.parent)}
    try:
        container = run([*flags, "from", "scratch"], timeout=60, env=env).strip()
        run([*flags, "add", "--quiet", container, base, "/"], timeout=300, env=env, log=log)
        run([*flags, "commit", "--quiet", "--rm", container, LOCAL_BASE], timeout=300, env=env, log=log)
        # In the older format the name of a build container becomes part of the image, and no two are equal.
        command = [*flags, "build", "--timestamp", "0", "--format", "oci", "--identity-label=false"]
        command += ["--pull-never", "--network", "none", "--build-arg", f"BASE={LOCAL_BASE}"]
        command += ["-t", spec.development_name]
        command += ["-f", context / spec.dockerfile, context]
        run(command, timeout=BUILD_SECONDS, env=env, log=log)
        target = f"docker-archive:{archive}:{spec.development_name}"
        run([*flags, "push", "--quiet", spec.development_name, target], timeout=300, env=env, log=log)
    finally:
        shutil.rmtree(storage, ignore_errors=True)


def _base(settings: Settings, progress: Progress) -> Path:
    """A tar of a Debian root with Python, in place of the public base."""

    def make_base(aside: Path) -> None:
        log = settings.logs / "image-base.log"
        with progress.step(f"Debian {SUITE} root for the images (log {log})"):
            debootstrap(SUITE, BASE_PACKAGES, aside / "base.tar", log)

    return (
        stored(settings.store, "image-base", recipe_key(SUITE, *BASE_PACKAGES, *NO_DOCUMENTS), make_base)
        / "base.tar"
    )


def _name(archive: Path, names: list[str]) -> None:
    """Give the one image of an archive these names; buildah writes only one."""
    renamed = archive.with_suffix(".named")
    with tarfile.open(archive) as old, tarfile.open(renamed, "w") as new:
        for member in old:
            data = old.extractfile(member)
            if member.name == "repositories":
                continue  # the old form of the same, optional
            if member.name == "manifest.json" and data:
                manifest = json.load(data)
                manifest[0]["RepoTags"] = names
                add_bytes(new, member.name, json.dumps(manifest).encode())
            else:
                new.addfile(member, io.BytesIO(data.read()) if data else None)
    renamed.replace(archive)


def describe(spec: Spec, archive: Path, key: str) -> Built:
    """What an archive holds, read from the archive itself."""
    with tarfile.open(archive) as tar:
        manifest = json.loads(_member(tar, "manifest.json"))[0]
        size = sum(_layer_bytes(tar, layer) for layer in manifest["Layers"])
    image_id = Path(manifest["Config"]).name.removesuffix(".json")
    return Built(archive, spec.reference(key), f"sha256:{image_id}", size)


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    stream = tar.extractfile(name)
    return stream.read() if stream else b""


def _layer_bytes(tar: tarfile.TarFile, name: str) -> int:
    """Sum of the sizes of a layer's files: what they take on a node's disk, blocks aside."""
    with tarfile.open(fileobj=tar.extractfile(tar.getmember(name).linkname or name)) as layer:
        return sum(member.size for member in layer if member.isfile())


def layer_names(archive: Path) -> set[str]:
    """Every path in an image's layers, without a leading slash."""
    found: set[str] = set()
    with tarfile.open(archive) as tar:
        for name in json.loads(_member(tar, "manifest.json"))[0]["Layers"]:
            with tarfile.open(fileobj=tar.extractfile(tar.getmember(name).linkname or name)) as layer:
                found |= {member.name.removeprefix("./") for member in layer}
    return found


def config_of(archive: Path) -> dict[str, object]:
    """The image's run configuration: user, entry point, environment."""
    with tarfile.open(archive) as tar:
        manifest = json.loads(_member(tar, "manifest.json"))[0]
        config = json.loads(_member(tar, manifest["Config"]))
    inner: dict[str, object] = config["config"]
    return inner
