"""Bulkhead in a cluster, installed by Helm as a user does it, from the images of this checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from kubelive.kubectl import kubectl

__all__ = ["OPERATOR_NAMESPACE", "RELEASE", "helm", "image_references", "install", "uninstall"]

OPERATOR_NAMESPACE = "bulkhead-system"
RELEASE = "bulkhead"
ROOT = Path(__file__).resolve().parents[2]


def helm(*arguments: str, timeout_seconds: float = 300) -> str:
    """Run helm; a failure carries what it said."""
    done = subprocess.run(
        ["helm", *arguments], capture_output=True, text=True, timeout=timeout_seconds, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"helm {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def image_references() -> dict[str, str]:
    """{"operator": reference, "sandbox": reference} of the images built from this checkout."""
    done = subprocess.run(
        [sys.executable, "-m", "images", "refs", "--json"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    references: dict[str, str] = json.loads(done.stdout)
    return references


def _image_values(key: str, reference: str) -> list[str]:
    repository, tag = reference.rsplit(":", 1)
    registry, name = repository.split("/", 1)
    return [f"{key}.registry={registry}", f"{key}.repository={name}", f"{key}.tag={tag}"]


def _cluster_ranges() -> list[str]:
    """Pod, Service and node ranges where they are public addresses, as on the test cluster."""
    ranges = [os.environ[key] for key in ("BULKHEAD_POD_CIDR", "BULKHEAD_SERVICE_CIDR") if key in os.environ]
    nodes = kubectl(
        "get", "nodes", "-o", "jsonpath={.items[*].status.addresses[?(@.type=='InternalIP')].address}"
    ).stdout.split()
    return [f"settings.clusterCIDRs={{{','.join([*ranges, *(f'{node}/32' for node in nodes)])}}}"]


def install(*values: str) -> None:
    """Install or upgrade the release; returns once the operator is Available."""
    references = image_references()
    settings = [
        *_image_values("image", references["operator"]),
        *_image_values("sandboxImage", references["sandbox"]),
        *_cluster_ranges(),
        *values,
    ]
    # --take-ownership: the CRDs may have been applied by kubectl before, as the quickstart allows.
    # --force-conflicts: tests that took a policy's binding away have put it back, and it is theirs then.
    helm(
        "upgrade", "--install", RELEASE, str(ROOT / "charts/bulkhead"),
        "--namespace", OPERATOR_NAMESPACE, "--create-namespace", "--take-ownership",
        "--force-conflicts",
        "--wait", "--timeout", "180s",
        *(part for value in settings for part in ("--set", value)),
    )  # fmt: skip


def uninstall() -> None:
    """Remove the release; CRDs and workspaces stay, as the chart promises."""
    helm("uninstall", RELEASE, "--namespace", OPERATOR_NAMESPACE, "--ignore-not-found", "--wait")
