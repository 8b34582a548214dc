"""Wheels of uv.lock for the images' Python, checked against the lock's hashes and unpacked once."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from cluster.cache import recipe_key, stored
from cluster.errors import Refusal
from cluster.process import run
from images.specs import PYTHON_VERSION, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from cluster.progress import Progress
    from cluster.settings import Settings
    from images.specs import Spec

PLATFORM = "x86_64-manylinux_2_28"


def uv_program() -> str:
    """The uv that runs us, that is in PATH or that `make` installed; refuses where there is none."""
    own = REPOSITORY / ".tools/uv/bin/uv"
    found = os.environ.get("UV") or shutil.which("uv") or (str(own) if own.exists() else None)
    if found is None:
        raise Refusal("no `uv` in PATH to read uv.lock; `make .venv` brings one, and so does: pip install uv")
    return found


def requirements(spec: Spec) -> str:
    """The image's dependencies with versions and hashes, as uv.lock has them."""
    command = [
        uv_program(),
        "export",
        "--frozen",
        "--no-emit-project",
        "--no-header",
        "--quiet",
        *spec.export,
    ]
    return run(command, timeout=60, cwd=REPOSITORY)


def unpacked(spec: Spec, wanted: str, settings: Settings, progress: Progress) -> Path:
    """Folder with the unpacked wheels of `wanted`, as it shall lie on Python's path."""
    key = recipe_key(wanted, PLATFORM, PYTHON_VERSION)

    def build(aside: Path) -> None:
        listing = aside / "requirements.txt"
        listing.write_text(wanted)
        log = settings.logs / f"wheels-{spec.name}.log"
        command: list[str | Path] = [
            uv_program(),
            "pip",
            "install",
            "--target",
            aside / "lib",
            "--requirements",
            listing,
        ]
        command += ["--require-hashes", "--only-binary", ":all:", "--no-deps", "--link-mode", "copy"]
        command += ["--python-platform", PLATFORM, "--python-version", PYTHON_VERSION]
        with progress.step(f"wheels of the {spec.name} image (log {log})"):
            run(command, timeout=600, cwd=REPOSITORY, log=log)
        for trash in ("bin", ".lock"):
            path = aside / "lib" / trash
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    return stored(settings.store, f"wheels-{spec.name}", key, build) / "lib"
