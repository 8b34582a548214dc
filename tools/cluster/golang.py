"""Programs from Go modules: fetched by Go's client, built with fixed flags, kept by their recipe's hash."""

from __future__ import annotations

import json
import os
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.cache import stored
from cluster.errors import Refusal, StepFailed
from cluster.process import attempt, run
from cluster.recipes import DATA, recipes

if TYPE_CHECKING:
    from collections.abc import Callable

    from cluster.progress import Progress
    from cluster.recipes import GoModule
    from cluster.settings import Settings

MINIMUM = (1, 26)
FETCH_SECONDS = 600
BUILD_SECONDS = 1500


def go_version(output: str) -> tuple[int, int]:
    """(major, minor) in what `go version` printed; (0, 0) when it is no such text."""
    found = re.search(r"go(\d+)\.(\d+)", output)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def require_go() -> str:
    """The full text of `go version`; refuses when Go is missing or too old."""
    code, out, _ = attempt(["go", "version"], timeout=30)
    if code != 0:
        raise Refusal(
            "no `go` in PATH: without a container engine the cluster is built from Go modules; "
            f"install Go {MINIMUM[0]}.{MINIMUM[1]} or later (https://go.dev/dl), or start a container engine"
        )
    if go_version(out) < MINIMUM:
        raise Refusal(
            f"`go` is too old ({out.strip()}); the local mode needs {MINIMUM[0]}.{MINIMUM[1]} or later"
        )
    return out.strip()


def go_environment(*, cgo: bool = False) -> dict[str, str]:
    """Environment under which the same source gives the same bytes."""
    flags = {
        "CGO_ENABLED": "1" if cgo else "0",
        "GOFLAGS": "-buildvcs=false -trimpath",
        "GOTOOLCHAIN": "local",
    }
    return {**os.environ, **flags}


def module_folder(path: str, version: str, log: Path) -> Path:
    """Where Go keeps the source of a module, fetched when it is not there."""
    out = run(["go", "mod", "download", "-json", f"{path}@{version}"], timeout=FETCH_SECONDS, cwd=Path("/"))
    log.parent.mkdir(parents=True, exist_ok=True)
    return Path(json.loads(out)["Dir"])


def build_all(settings: Settings, progress: Progress, on_miss: Callable[[], None]) -> dict[str, Path]:
    """Path of every program in the recipes; `on_miss` runs before the first build, if there is one."""
    version = require_go()
    modules = recipes().modules
    missing = [m for m in modules if not (settings.store / f"go-{m.name}-{m.key(version)}").is_dir()]
    if missing:
        on_miss()
        progress.say(
            f"to build from Go modules: {' '.join(m.name for m in missing)} (all, cold, 2 cores: 25 minutes)"
        )

    def make(module: GoModule) -> dict[str, Path]:
        folder = stored(
            settings.store,
            f"go-{module.name}",
            module.key(version),
            lambda aside: _build(module, aside, settings, progress),
        )
        return {name: folder / name for name in module.programs}

    # Two at a time: linking uses one core, and the next module is fetched while this one compiles.
    with ThreadPoolExecutor(2) as pool:
        return {name: path for found in pool.map(make, modules) for name, path in found.items()}


def _build(module: GoModule, aside: Path, settings: Settings, progress: Progress) -> None:
    log = settings.logs / f"go-{module.name}.log"
    log.unlink(missing_ok=True)
    work = aside / "work"
    out = aside / "out"
    work.mkdir()
    out.mkdir()
    env = go_environment(cgo=module.cgo)
    packages = module.packages()
    with progress.step(f"build {module.name} {module.version} (log {log})"):
        (work / "go.mod").write_text(_go_mod(module, log))
        wanted = [f"{package}@{module.version}" for package in packages.values()]
        run(["go", "get", "-tool", *wanted], timeout=FETCH_SECONDS, cwd=work, env=env, log=log)
        if module.patch:
            _lay_patch(module, work, log)
        command = ["go", "build", "-mod=mod", "-ldflags", f"-s -w {module.ldflags}".strip()]
        command += ["-tags", module.tags] if module.tags else []
        run(
            [*command, "-o", f"{out}/", *packages.values()], timeout=BUILD_SECONDS, cwd=work, env=env, log=log
        )
    for name, package in packages.items():
        (out / program_name(package)).rename(aside / name)
    shutil.rmtree(work)
    out.rmdir()


def program_name(package: str) -> str:
    """The file name that `go build` gives a package: its last element that is no major version."""
    parts = package.split("/")
    return parts[-2] if re.fullmatch(r"v[2-9]\d*", parts[-1]) else parts[-1]


def _go_mod(module: GoModule, log: Path) -> str:
    replaces = dict(module.replace)
    if module.staging:
        source = (module_folder(module.path, module.version, log) / "go.mod").read_text()
        replaces |= staging_replaces(source, module.staging)
    lines = [f"replace {old} => {new}" for old, new in sorted(replaces.items())]
    return "\n".join([f"module {module.name}.build", "go 1.26.0", *lines, ""])


def staging_replaces(go_mod: str, version: str) -> dict[str, str]:
    """For each module that a go.mod takes from its staging folder: the published one at `version`."""
    return {
        name: f"{name} {version}"
        for name in re.findall(r"^\s*(?:replace )?(k8s\.io/[a-z-]+) => \./staging", go_mod, re.MULTILINE)
    }


def _lay_patch(module: GoModule, work: Path, log: Path) -> None:
    patch = module.patch
    if patch is None:
        return
    env = go_environment()
    listed = run(
        ["go", "list", "-mod=mod", "-m", "-f", "{{.Dir}}", patch.module],
        timeout=FETCH_SECONDS,
        cwd=work,
        env=env,
    )
    copy = work / "patched"
    shutil.copytree(listed.strip(), copy)
    target = copy / patch.file
    if not target.exists():
        raise StepFailed(
            f"patch {patch.module}: it has no {patch.file} any more; look at data/{patch.source}"
        )
    # Go's module cache is read-only, and so is the copy.
    target.parent.chmod(0o755)
    target.chmod(0o644)
    target.write_text((DATA / patch.source).read_text())
    run(
        ["go", "mod", "edit", "-replace", f"{patch.module}=./patched"], timeout=60, cwd=work, env=env, log=log
    )
