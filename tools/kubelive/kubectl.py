"""kubectl, for what is kubectl's own: apply as a user does it, exec, wait, logs."""

from __future__ import annotations

import subprocess

__all__ = ["kubectl"]


def kubectl(
    *arguments: str, stdin: str | None = None, check: bool = True, timeout_seconds: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run kubectl with the current kubeconfig; a failure carries what kubectl said."""
    done = subprocess.run(
        ["kubectl", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        check=False,
    )
    if check and done.returncode != 0:
        said = done.stdout[-2000:] + done.stderr[-4000:]
        raise RuntimeError(f"kubectl {' '.join(arguments)}: exit {done.returncode}\n{said}")
    return done
