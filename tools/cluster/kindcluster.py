"""The kind cluster itself: its config, its making, its state, and images put into its nodes."""

from __future__ import annotations

import json
import shutil
import tarfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from cluster.errors import StepFailed
from cluster.process import attempt
from cluster.recipes import DATA
from cluster.settings import API_ADDRESS, AUDIT_LOG, CLUSTER_NAME, NODES, POD_CIDR, SERVICE_CIDR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cluster.engine import Engine
    from cluster.lab import Lab

CREATE_SECONDS = 300


def kind_config(*, ours: bool, audit_policy: Path) -> str:
    """Configuration of kind; with our engine the API server listens on the link and runc is wrapped."""
    template = Template((DATA / "kind.yaml").read_text())
    return template.substitute(
        cluster=CLUSTER_NAME,
        pod_cidr=POD_CIDR,
        service_cidr=SERVICE_CIDR,
        api_address=API_ADDRESS if ours else "127.0.0.1",
        audit_policy=str(audit_policy),
        audit_log=AUDIT_LOG,
        audit_folder=str(Path(AUDIT_LOG).parent),
        runc="/usr/local/sbin/runc-nocap" if ours else "",
    )


def nodes_running(engine: Engine) -> list[str]:
    """Names of our nodes whose containers run."""
    query = ["ps", "--filter", f"label=io.x-k8s.kind.cluster={CLUSTER_NAME}", "--format", "{{.Names}}"]
    code, out, _ = attempt([engine.docker, *query], timeout=30, env=engine.environment)
    return sorted(out.split()) if code == 0 else []


def api_answers(lab: Lab) -> bool:
    """Whether the API server of the running cluster is ready for requests."""
    return lab.settings.kubeconfig.exists() and lab.try_kubectl("get", "--raw=/readyz", timeout=10)[0]


def create(lab: Lab, image: str) -> None:
    """Two nodes have been made by kind; they get Ready when a network engine is there."""
    delete(lab)
    # The policy is mounted into the node, so it must stay where it is for as long as the cluster lives.
    policy = lab.settings.run / "audit-policy.yaml"
    shutil.copy(DATA / "audit-policy.yaml", policy)
    config = lab.settings.run / "kind.yaml"
    config.write_text(kind_config(ours=lab.engine.ours, audit_policy=policy))
    with lab.progress.step(f"kind create cluster (log {lab.settings.logs / 'kind.log'})"):
        arguments: list[str | Path] = [
            "create",
            "cluster",
            "--config",
            config,
            "--kubeconfig",
            lab.settings.kubeconfig,
            "--retain",
        ]
        lab.kind(*arguments, "--image", image, "-v", "1", timeout=CREATE_SECONDS, log="kind.log")
    # The kubeconfig holds an administrator's key.
    lab.settings.kubeconfig.chmod(0o600)


def delete(lab: Lab) -> None:
    """No node of ours exists afterwards, however far an earlier start got."""
    found = lab.engine.run("ps", "-aq", "--filter", f"label=io.x-k8s.kind.cluster={CLUSTER_NAME}").split()
    if found:
        lab.progress.say("removing the nodes of an earlier cluster")
        lab.kind("delete", "cluster", "--name", CLUSTER_NAME, timeout=120, log="kind.log")
    lab.settings.kubeconfig.unlink(missing_ok=True)


def archive_images(path: Path) -> list[tuple[str, list[str]]]:
    """(image id, names) of each image in a docker archive; the id is the digest of its config."""
    try:
        with tarfile.open(path) as tar:
            member = tar.extractfile("manifest.json")
            entries = json.load(member) if member else []
    except (OSError, KeyError, tarfile.TarError) as error:
        raise StepFailed(
            f"read image archive {path}: {error}; `docker save` and `buildah push docker-archive:` make them"
        ) from error
    return [(_digest(entry["Config"]), list(entry.get("RepoTags") or [])) for entry in entries]


def _digest(config_name: str) -> str:
    return Path(config_name).name.removesuffix(".json")


def load_archives(lab: Lab, archives: Sequence[Path]) -> None:
    """Every node has every image of the archives under its names; nodes that had them are left alone."""
    for path in archives:
        wanted = archive_images(path)
        with ThreadPoolExecutor(len(NODES)) as pool:
            has = dict(zip(NODES, pool.map(partial(_node_has, lab, wanted), NODES), strict=True))
        lacking = [node for node in NODES if not has[node]]
        names = ", ".join(name for _, tags in wanted for name in tags)
        if not lacking:
            lab.progress.say(f"{names}: on all nodes already")
            continue
        with lab.progress.step(f"load {names} into {', '.join(lacking)}"):
            arguments: list[str | Path] = [
                "load",
                "image-archive",
                path,
                "--name",
                CLUSTER_NAME,
                "--nodes",
                ",".join(lacking),
            ]
            lab.kind(*arguments, timeout=300, log="kind.log")


def _node_has(lab: Lab, wanted: list[tuple[str, list[str]]], node: str) -> bool:
    listed = json.loads(lab.engine.exec(node, "crictl", "images", "-o", "json"))["images"]
    present = {
        (image["id"].removeprefix("sha256:"), tag) for image in listed for tag in image.get("repoTags") or []
    }
    return all((image_id, tag) in present for image_id, tags in wanted for tag in tags)
