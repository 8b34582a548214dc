"""CLUSTER=current: the cluster of the current kubeconfig context, used as it is and never changed here."""

from __future__ import annotations

import json
import shutil
import sys
from typing import TYPE_CHECKING

from cluster.errors import Refusal
from cluster.process import attempt
from cluster.state import State, write_state

if TYPE_CHECKING:
    from cluster.progress import Progress
    from cluster.settings import Settings

LACKING = (
    "probes at internet hosts, cloud metadata and a private-range host (no `world` there)",
    "model answers from the stand-in (no `world` there)",
    "tests that read the API server's audit log",
    "tests that restart nodes or the network engine",
)


def use_current(settings: Settings, progress: Progress) -> None:
    """After a yes from a person or BULKHEAD_ASSUME_YES=1: later commands use the current context."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise Refusal("CLUSTER=current needs kubectl in PATH")
    code, context, err = attempt([kubectl, "config", "current-context"], timeout=20)
    if code != 0:
        raise Refusal(f"CLUSTER=current, but kubectl knows no current context: {err.strip()}")
    confirm(context.strip(), assume_yes=settings.assume_yes, interactive=sys.stdin.isatty())
    code, _, err = attempt([kubectl, "get", "--raw=/readyz"], timeout=30)
    if code != 0:
        raise Refusal(f"the cluster of context {context.strip()} does not answer: {err.strip()}")
    progress.say(f"using context {context.strip()}; tests that cannot run there:")
    for line in (*LACKING, *_runtime_lacking(kubectl)):
        progress.say(f"  - {line}")
    write_state(settings, State("current", complete=True, tools={"kubectl": kubectl}))


def confirm(context: str, *, assume_yes: bool, interactive: bool) -> None:
    """Refuse unless somebody said yes to this very context."""
    if assume_yes:
        return
    if not interactive:
        raise Refusal(
            f"CLUSTER=current would use context {context!r}; without a terminal BULKHEAD_ASSUME_YES=1 agrees"
        )
    if (
        input(
            f"Run tests against the cluster of context {context!r}? They create namespaces and CRDs. [y/N] "
        ).lower()
        != "y"
    ):
        raise Refusal("not agreed; nothing was done")


def _runtime_lacking(kubectl: str) -> list[str]:
    code, out, _ = attempt([kubectl, "get", "runtimeclass", "-o", "json"], timeout=30)
    items = json.loads(out)["items"] if code == 0 else []
    if any(item["metadata"]["name"] == "gvisor" for item in items):
        return []
    return ["isolation level Sandboxed (no RuntimeClass `gvisor` there)"]
