"""Run everything; a cluster that was there before stays, one that was started here is stopped here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

__all__ = ["main"]


def _run(title: str, *command: str, env: dict[str, str] | None = None) -> int:
    began = time.monotonic()
    print(f"== {title}", flush=True)
    code = subprocess.run(command, check=False, env=env).returncode
    print(
        f"== {title}: {'ok' if code == 0 else f'exit {code}'} after {time.monotonic() - began:.0f} s",
        flush=True,
    )
    return code


def _python(title: str, *arguments: str, env: dict[str, str] | None = None) -> int:
    return _run(title, sys.executable, "-m", *arguments, env=env)


def _cluster_is_up() -> bool:
    status = [sys.executable, "-m", "cluster", "status"]
    return subprocess.run(status, check=False, capture_output=True).returncode == 0


def _cluster_environment() -> dict[str, str]:
    told = subprocess.run(
        [sys.executable, "-m", "cluster", "env", "--json"], check=True, capture_output=True, text=True
    )
    settings: dict[str, str] = json.loads(told.stdout)
    return os.environ | settings


def main() -> int:
    """Exit code of the first part that failed, else 0; the cluster is taken down either way."""
    keep = _cluster_is_up()
    try:
        for title, arguments in (
            ("cluster-up", ("cluster", "up")),
            ("images", ("images", "build")),
            ("load", ("images", "load")),
        ):
            if code := _python(title, *arguments):
                return code
        return _python("pytest", "pytest", "tests", *sys.argv[1:], env=_cluster_environment())
    finally:
        if keep:
            print("== the cluster was up before, so it stays (make cluster-down removes it)")
        else:
            _python("cluster-down", "cluster", "down")


if __name__ == "__main__":
    raise SystemExit(main())
