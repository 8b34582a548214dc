"""`up`: choose a mode, prepare what is missing, make the cluster, check it."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import cilium, gvisor, kindcluster, outside
from cluster.cache import recipe_key
from cluster.engine import host_engine, start_our_engine
from cluster.errors import Refusal
from cluster.golang import build_all, require_go
from cluster.lab import Lab
from cluster.leftovers import end_builders
from cluster.machine import install_packages, require_local_mode
from cluster.nodeimage import build_node_image, node_image_key
from cluster.recipes import DATA, recipes
from cluster.rootfs import node_base
from cluster.settings import NODES
from cluster.smoke import smoke
from cluster.state import State, read_state, write_state

if TYPE_CHECKING:
    from cluster.engine import Engine
    from cluster.progress import Progress
    from cluster.settings import Settings

# The default of the pinned kind; its digest is in kind's release notes.
PUBLIC_NODE_IMAGE = (
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5"
)
PULL_SECONDS = 900
TOOLS = ("kind", "kubectl", "helm")


def up(settings: Settings, progress: Progress) -> None:
    """A cluster that passed its smoke check runs, whatever an earlier start left behind."""
    end_builders(settings)
    settings.run.mkdir(parents=True, exist_ok=True)
    engine = _usable_host_engine(settings, progress)
    if engine:
        lab, node_image, world_image = (
            _host_lab(engine, settings, progress),
            PUBLIC_NODE_IMAGE,
            outside.PUBLIC_IMAGE,
        )
    else:
        lab, node_image = _local_lab(settings, progress)
        world_image = outside.local_image()
    values = json.dumps(cilium.helm_values(ours=lab.engine.ours))
    recipe = recipe_key(DATA / "kind.yaml", DATA / "audit-policy.yaml", node_image, values)
    _make_cluster(lab, node_image, world_image, recipe)


def _make_cluster(lab: Lab, node_image: str, world_image: str, recipe: str) -> None:
    settings, progress = lab.settings, lab.progress
    mode = "local" if lab.engine.ours else "host"
    known = read_state(settings)
    alive = kindcluster.nodes_running(lab.engine) == sorted(NODES) and kindcluster.api_answers(lab)
    state = State(mode, recipe, tools={name: str(lab.tools[name]) for name in TOOLS})
    if alive and known and known.complete:
        if known.recipe != recipe:
            raise Refusal(
                "the running cluster was made from another recipe; cluster-down first, then cluster-up"
            )
        progress.say("cluster: runs already; checking it")
        write_state(settings, replace(state, complete=True))
        cilium.mend(lab)
        cilium.wait_ready(lab)
    else:
        write_state(settings, state)
        kindcluster.create(lab, node_image)
        with progress.step("Cilium"), ThreadPoolExecutor(3) as pool:
            side = [
                pool.submit(outside.start, lab, world_image, node_image),
                pool.submit(gvisor.install, lab),
            ]
            cilium.install(lab)
            cilium.wait_ready(lab)
            for future in side:
                future.result()
    # Repeated on a cluster that runs: routes do not survive a restart of a container.
    outside.start(lab, world_image, node_image)
    gvisor.install(lab)
    smoke(lab)
    write_state(settings, replace(state, complete=True))
    progress.say(
        f"cluster is up: KUBECONFIG={settings.kubeconfig} (`python -m cluster env` prints all of it)"
    )


def _usable_host_engine(settings: Settings, progress: Progress) -> Engine | None:
    """The user's engine where it can have the node image; a refusal where it was asked for and cannot."""
    if settings.engine == "local":
        return None
    engine = host_engine()
    if engine is None:
        if settings.engine == "host":
            raise Refusal("BULKHEAD_ENGINE=host, but `docker info` gets no answer; start the engine")
        return None
    if engine.answers("image", "inspect", PUBLIC_NODE_IMAGE):
        return engine
    with progress.step(f"pull {PUBLIC_NODE_IMAGE.split('@', maxsplit=1)[0]}"):
        pulled = engine.answers("pull", "-q", PUBLIC_NODE_IMAGE, timeout=PULL_SECONDS)
    if pulled:
        return engine
    if settings.engine == "host":
        raise Refusal(f"BULKHEAD_ENGINE=host, but the engine cannot pull {PUBLIC_NODE_IMAGE}")
    progress.say("an engine answers but cannot have the public node image: making both here")
    return None


def _host_lab(engine: Engine, settings: Settings, progress: Progress) -> Lab:
    found = {name: shutil.which(name) for name in TOOLS}
    missing = [name for name, path in found.items() if path is None]
    if missing:
        raise Refusal(
            f"with your container engine the cluster needs {', '.join(missing)} in PATH; install them"
        )
    progress.say("mode: your container engine, the public node image")
    return Lab(settings, engine, {name: Path(path) for name, path in found.items() if path}, progress)


def _local_lab(settings: Settings, progress: Progress) -> tuple[Lab, str]:
    """Engine, programs, node image and world image of our own making; what can be made side by side is."""
    require_local_mode()
    require_go()
    progress.say(
        "mode: local (no usable container engine): an engine without uplink and a node image are made here"
    )
    pinned = recipes()
    install_packages(pinned.run_packages, settings, progress)

    def install_builders() -> None:
        install_packages(pinned.build_packages, settings, progress)

    with ThreadPoolExecutor(3) as pool:
        engine = start_our_engine(settings, progress)
        waiting: list[Future[object]] = []
        if not engine.answers("image", "inspect", outside.local_image()):
            install_builders()
            waiting.append(pool.submit(_roots, engine, settings, progress))
        programs = build_all(settings, progress, install_builders)
        for future in waiting:
            future.result()
    link_tools(settings, programs)
    node_image = f"localhost/bulkhead-node:{node_image_key(programs)}"
    if engine.answers("image", "inspect", node_image):
        progress.say(f"node image: {node_image} is there")
    else:
        install_builders()
        build_node_image(node_image, programs, engine, settings, progress)
        _forget_node_images(engine, node_image)
    cilium.chart(settings)
    return Lab(settings, engine, programs, progress), node_image


def _forget_node_images(engine: Engine, current: str) -> None:
    """Earlier node images are gone, but for one in use: docker refuses to remove that."""
    listed = engine.run("images", "localhost/bulkhead-node", "--format", "{{.Repository}}:{{.Tag}}").split()
    for old in set(listed) - {current}:
        engine.answers("rmi", old)


def _roots(engine: Engine, settings: Settings, progress: Progress) -> None:
    outside.build_local_image(engine, settings, progress)
    node_base(settings, progress)


def link_tools(settings: Settings, programs: dict[str, Path]) -> None:
    """`run/bin` holds kubectl, helm, kind and the client that fits our engine, and nothing else."""
    folder = settings.run / "bin"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in TOOLS:
        (folder / name).symlink_to(programs[name])
    (folder / "docker").symlink_to("/usr/bin/docker")
