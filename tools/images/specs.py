"""The two images as data, and the hash of everything that goes into each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cluster.cache import recipe_key

REPOSITORY = Path(__file__).resolve().parents[2]
REGISTRY = "bulkhead.local"
MAKE_ROOT = "tools/images/make-root.sh"
PYTHON_VERSION = "3.13"  # of Debian trixie
LIMIT_BYTES = 130_000_000


@dataclass(frozen=True)
class Spec:
    """One image: its Dockerfile, the source folders it copies, and how uv names its dependencies."""

    name: str
    dockerfile: str
    sources: tuple[str, ...]
    export: tuple[str, ...]

    @property
    def development_name(self) -> str:
        """The name that moves with every build."""
        return f"{REGISTRY}/{self.name}:dev"

    def reference(self, key: str) -> str:
        """The name that stands for one content: safe with imagePullPolicy IfNotPresent."""
        return f"{REGISTRY}/{self.name}:{key}"

    def key(self, requirements: str, base: str, tree: Path = REPOSITORY) -> str:
        """Hash of the sources in `tree`, the locked dependencies, the build's steps and the base."""
        files = [tree / path for path in (self.dockerfile, MAKE_ROOT, *self.sources)]
        return recipe_key(self.name, requirements, base, *files)


SPECS = (
    Spec(
        name="operator",
        dockerfile="operator/Dockerfile",
        sources=("operator/bulkhead", "operator/bulkhead_wire"),
        export=("--no-default-groups",),
    ),
    Spec(
        name="sandbox",
        dockerfile="sandbox-image/Dockerfile",
        sources=("sandbox-image/src/bulkhead_sandbox", "operator/bulkhead_wire"),
        export=("--only-group", "sandbox"),
    ),
)


def spec(name: str) -> Spec:
    """The image of this name."""
    return next(one for one in SPECS if one.name == name)
