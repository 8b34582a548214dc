"""The chart as Helm renders it. No cluster: only the `helm` program on PATH."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "bulkhead"
NAMESPACE = "bulkhead-system"

Manifest = dict[str, Any]


class Rendered:
    """What a release is made of, hooks included."""

    def __init__(self, manifests: Iterable[Manifest]) -> None:
        self.manifests = list(manifests)

    def all(self, kind: str) -> list[Manifest]:
        """Every object of a kind."""
        return [each for each in self.manifests if each["kind"] == kind]

    def one(self, kind: str, name: str) -> Manifest:
        """The object of that kind and name."""
        found = [each for each in self.all(kind) if each["metadata"]["name"] == name]
        assert len(found) == 1, f"{len(found)} objects {kind} {name}"
        return found[0]


class Helm:
    """Renders the chart with values given as `--set` words, for a cluster that has these APIs besides."""

    def __init__(self, program: str) -> None:
        self._program = program

    def __call__(
        self, *values: str, namespace: str = NAMESPACE, capabilities: Sequence[str] = ()
    ) -> Rendered:
        done = self._run(*values, namespace=namespace, capabilities=capabilities)
        assert done.returncode == 0, done.stderr
        return Rendered(each for each in yaml.safe_load_all(done.stdout) if each)

    def refusal(self, *values: str, namespace: str = NAMESPACE, capabilities: Sequence[str] = ()) -> str:
        """What helm says when it refuses the values; a test that expects this fails if it does not."""
        done = self._run(*values, namespace=namespace, capabilities=capabilities)
        assert done.returncode != 0, "helm accepted the values"
        return done.stderr

    def notes(self, *values: str) -> str:
        """NOTES.txt as a user sees it after the installation."""
        done = self._helm("install", ["--dry-run=client"], values, NAMESPACE)
        assert done.returncode == 0, done.stderr
        return done.stdout.split("NOTES:\n", 1)[1]

    def _run(
        self, *values: str, namespace: str, capabilities: Sequence[str]
    ) -> subprocess.CompletedProcess[str]:
        known = [word for each in capabilities for word in ("--api-versions", each)]
        return self._helm("template", ["--include-crds", *known], values, namespace)

    def _helm(
        self, command: str, options: Sequence[str], values: Iterable[str], namespace: str
    ) -> subprocess.CompletedProcess[str]:
        sets = [word for value in values for word in ("--set-json", value)]
        return subprocess.run(
            [self._program, command, "bulkhead", str(CHART), *options, "--namespace", namespace, *sets],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )


@pytest.fixture(scope="session")
def helm() -> Helm:
    """The chart's renderer. A missing helm is a failure with a hint, never a skip."""
    program = shutil.which("helm")
    if program is None:
        pytest.fail('no `helm` on PATH: run `make cluster-up`, then eval "$(make -s env)"')
    return Helm(program)


@pytest.fixture(scope="session")
def release(helm: Helm) -> Rendered:
    """The release with default values."""
    return helm()
