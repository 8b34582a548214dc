"""The `world` container: it stands on kind's network and answers for every address that probes aim at."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.cache import recipe_key
from cluster.certificates import make_certificates
from cluster.errors import StepFailed
from cluster.process import run, tail, wait_for
from cluster.rootfs import NO_DOCUMENTS
from cluster.settings import (
    NODES,
    WORLD_ALLOWED,
    WORLD_CONTAINER,
    WORLD_DENIED,
    WORLD_DNS,
    WORLD_LINK_LOCAL,
    WORLD_METADATA,
    WORLD_MODEL,
    WORLD_PREFIXES,
    WORLD_PRIVATE,
    WORLD_ZONE,
)

if TYPE_CHECKING:
    from cluster.engine import Engine
    from cluster.lab import Lab
    from cluster.progress import Progress
    from cluster.settings import Settings

PUBLIC_IMAGE = "docker.io/library/python:3.13-slim"
SUITE = "trixie"
UNFINISHED = "localhost/bulkhead-world:unfinished"
ADDRESSES = (
    WORLD_ALLOWED,
    WORLD_DENIED,
    WORLD_MODEL,
    WORLD_DNS,
    WORLD_METADATA,
    WORLD_LINK_LOCAL,
    WORLD_PRIVATE,
)
SERVERS = Path(__file__).parent / "world"
STAND_IN = Path(__file__).parents[1] / "model_standin"
LABEL = "bulkhead.recipe"

# DNS for the world's names, and no cache: one of them answers differently each time.
ZONE_BLOCK = f"{WORLD_ZONE}:53 {{\n    errors\n    forward . {WORLD_DNS}\n}}\n"


def local_image() -> str:
    """Name of the image that the local mode makes for the world."""
    return f"localhost/bulkhead-world:{recipe_key(SUITE, 'python3', *NO_DOCUMENTS)}"


def build_local_image(engine: Engine, settings: Settings, progress: Progress) -> None:
    """A Debian root with Python is in the engine under `local_image()`."""
    log = settings.logs / "world-image.log"
    command = [
        "mmdebstrap",
        "--variant=minbase",
        "--mode=root",
        "--include=python3",
        *NO_DOCUMENTS,
        SUITE,
        "-",
    ]
    with (
        progress.step(f"image for the world (log {log})"),
        log.open("wb") as sink,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=sink) as packed,
    ):
        # Under a name of its own first: should mmdebstrap stop half way, nobody takes the rest for an image.
        load = [engine.docker, "import", "-", UNFINISHED]
        run(load, timeout=900, env=engine.environment, stdin=packed.stdout)
        if packed.wait() != 0:
            raise StepFailed(f"make the world's image: mmdebstrap failed; all of it in {log}\n{tail(log)}")
    engine.run("tag", UNFINISHED, local_image())


def start(lab: Lab, image: str, node_image: str) -> None:
    """The world serves on all its addresses, nodes reach it there, and it finds the way back to pods."""
    recipe = recipe_key(SERVERS, STAND_IN, Path(__file__).with_name("certificates.py"), image)
    if not _runs(lab.engine, recipe):
        _create(lab, image, recipe)
    _connect(lab, node_image)
    _teach_dns(lab)


def _runs(engine: Engine, recipe: str) -> bool:
    query = ["ps", "-q", "--filter", f"name=^{WORLD_CONTAINER}$", "--filter", f"label={LABEL}={recipe}"]
    return bool(engine.run(*query).strip())


def _create(lab: Lab, image: str, recipe: str) -> None:
    engine = lab.engine
    engine.answers("rm", "-f", WORLD_CONTAINER)
    certificates = lab.settings.run / "certificates"
    shutil.rmtree(certificates, ignore_errors=True)
    make_certificates(certificates, lab.settings.world_ca)
    create = ["create", "--name", WORLD_CONTAINER, "--network", "kind", "--label", f"{LABEL}={recipe}"]
    # No memory of its own is worth keeping, and every server is a thread: 256 MiB is plenty.
    create += ["--memory", "256m", "--env", "PYTHONPATH=/opt", "--workdir", "/opt", "--entrypoint", "python3"]
    engine.run(*create, image, "-B", "-m", "world", timeout=600)
    # Copied, not mounted: so it works with an engine that is not on this machine as well.
    engine.run("cp", SERVERS, f"{WORLD_CONTAINER}:/opt/world")
    engine.run("cp", STAND_IN, f"{WORLD_CONTAINER}:/opt/model_standin")
    engine.run("cp", certificates, f"{WORLD_CONTAINER}:/certificates")
    engine.run("start", WORLD_CONTAINER)
    wait_for("the world's servers", lambda: '"serving"' in engine.run("logs", WORLD_CONTAINER), timeout=20)


def _connect(lab: Lab, node_image: str) -> None:
    """Addresses on the world, routes to it on the nodes, routes back: pods are not masqueraded."""
    engine = lab.engine
    network = ("inspect", "-f", "{{.NetworkSettings.Networks.kind.IPAddress}}")
    world = engine.run(*network, WORLD_CONTAINER).strip()
    listed = json.loads(lab.kubectl("get", "nodes", "-o", "json"))["items"]
    pods = {item["metadata"]["name"]: item["spec"]["podCIDR"] for item in listed}
    inside = [f"ip address replace {address}/32 dev lo" for address in ADDRESSES]
    for node in NODES:
        inside.append(f"ip route replace {pods[node]} via {engine.run(*network, node).strip()}")
        routes = [f"ip route replace {prefix} via {world}" for prefix in WORLD_PREFIXES]
        engine.exec(node, "sh", "-c", " && ".join(routes))
    # The node image brings `ip`, whatever the world's own image has.
    helper = [
        "run",
        "--rm",
        "--network",
        f"container:{WORLD_CONTAINER}",
        "--cap-add",
        "NET_ADMIN",
        "--entrypoint",
        "sh",
    ]
    engine.run(*helper, node_image, "-c", " && ".join(inside))


def _teach_dns(lab: Lab) -> None:
    """Cluster DNS asks the world about its zone."""
    config = json.loads(lab.kubectl("-n", "kube-system", "get", "configmap", "coredns", "-o", "json"))
    corefile = config["data"]["Corefile"]
    if corefile.startswith(ZONE_BLOCK):
        return
    patch = {"data": {"Corefile": ZONE_BLOCK + corefile}}
    lab.kubectl("-n", "kube-system", "patch", "configmap", "coredns", "--type=merge", "-p", json.dumps(patch))
    # It would notice by itself, but only after half a minute.
    lab.kubectl("-n", "kube-system", "rollout", "restart", "deployment/coredns")
