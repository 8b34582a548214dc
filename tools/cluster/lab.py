"""What every step after the preparation needs: an engine, tools that fit the cluster, settings, progress."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cluster.engine import in_namespace
from cluster.process import attempt, run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cluster.engine import Engine
    from cluster.progress import Progress
    from cluster.settings import Settings


@dataclass(frozen=True)
class Lab:
    """One cluster in the making; `tools` has at least kind, kubectl and helm."""

    settings: Settings
    engine: Engine
    tools: Mapping[str, Path]
    progress: Progress

    def kind(self, *arguments: str | Path, timeout: float, log: str) -> str:
        """Run kind beside the engine: it picks a free port of the API server's address, which is in there."""
        self.settings.run.mkdir(parents=True, exist_ok=True)
        env = {**self.engine.environment, "TMPDIR": str(self.settings.run)}
        argv = in_namespace(self.engine, [self.tools["kind"], *arguments])
        return run(argv, timeout=timeout, env=env, log=self.settings.logs / log)

    def kubectl(self, *arguments: str | Path, timeout: float = 60, stdin: bytes | None = None) -> str:
        """Standard output of kubectl on this cluster."""
        return run(self._kubectl(*arguments), timeout=timeout, env=self.engine.environment, stdin=stdin)

    def try_kubectl(self, *arguments: str | Path, timeout: float = 60) -> tuple[bool, str]:
        """Whether a kubectl command ended with 0, and all that it printed."""
        code, out, err = attempt(self._kubectl(*arguments), timeout=timeout, env=self.engine.environment)
        return code == 0, out + err

    def apply(self, *manifests: Mapping[str, Any]) -> None:
        """All manifests are applied, in order."""
        bundle = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(bundle).encode())

    def helm(self, *arguments: str | Path, timeout: float, log: str) -> None:
        """Run helm on this cluster."""
        argv = [self.tools["helm"], "--kubeconfig", self.settings.kubeconfig, *arguments]
        run(argv, timeout=timeout, env=self.engine.environment, log=self.settings.logs / log)

    def _kubectl(self, *arguments: str | Path) -> list[str | Path]:
        return [self.tools["kubectl"], "--kubeconfig", self.settings.kubeconfig, *arguments]
