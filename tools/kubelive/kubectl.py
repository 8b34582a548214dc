"""kubectl, for what is kubectl's own: apply as a user does it, exec, wait, logs."""

from __future__ import annotations

import subprocess
from typing import Final

from kubelive.live import BREAK_GLASS

__all__ = ["kubectl"]

_AS_BREAK_GLASS: Final = ("--as=break-glass", "--as-group=system:masters", f"--as-group={BREAK_GLASS}")


def kubectl(
    *arguments: str,
    stdin: str | None = None,
    check: bool = True,
    timeout_seconds: float = 120,
    break_glass: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run kubectl with the current kubeconfig; a failure carries what kubectl said.

    `break_glass`: as somebody whom the fences let through.
    """
    done = subprocess.run(
        ["kubectl", *(_AS_BREAK_GLASS if break_glass else ()), *arguments],
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
