"""The pinned versions of data/recipes.toml as frozen data."""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cluster.cache import recipe_key

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class Patch:
    """One file of ours laid over a copy of a dependency."""

    module: str
    file: str
    source: str


@dataclass(frozen=True)
class GoModule:
    """Programs of one Go module at one version; `programs` maps a file name to a package path inside it."""

    name: str
    path: str
    version: str
    programs: dict[str, str]
    staging: str = ""
    ldflags: str = ""
    tags: str = ""
    cgo: bool = False
    replace: dict[str, str] = field(default_factory=dict)
    patch: Patch | None = None

    def packages(self) -> dict[str, str]:
        """Full import path of each program."""
        return {name: f"{self.path}/{sub}".rstrip("/") for name, sub in self.programs.items()}

    def key(self, go_version: str) -> str:
        """Hash of all that decides what comes out: the recipe, the patch, the compiler."""
        patch = (DATA / self.patch.source).read_text() if self.patch else ""
        return recipe_key(json.dumps(asdict(self), sort_keys=True), patch, go_version)


@dataclass(frozen=True)
class Recipes:
    """All of data/recipes.toml."""

    kubernetes: str
    cilium: str
    llvm: str
    policy_api: str
    kind: str
    node_suite: str
    run_packages: tuple[str, ...]
    build_packages: tuple[str, ...]
    modules: tuple[GoModule, ...]


@cache
def recipes() -> Recipes:
    """The recipes of this work tree."""
    with (DATA / "recipes.toml").open("rb") as stream:
        raw = tomllib.load(stream)
    return Recipes(
        kubernetes=raw["kubernetes"]["version"],
        cilium=raw["cilium"]["version"],
        llvm=raw["cilium"]["llvm"],
        policy_api=raw["cilium"]["policy_api"],
        kind=raw["kind"]["version"],
        node_suite=raw["debian"]["node"],
        run_packages=tuple(raw["debian"]["run"]),
        build_packages=tuple(raw["debian"]["build"]),
        modules=tuple(_module(entry) for entry in raw["module"]),
    )


def _module(entry: dict[str, Any]) -> GoModule:
    patch = entry.pop("patch", None)
    return GoModule(**entry, patch=Patch(**patch) if patch else None)
