"""`down`: nothing of the cluster is left on the machine, or what is left is named."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from cluster.engine import Engine, host_engine, our_engine
from cluster.errors import Leftovers as LeftoversError
from cluster.errors import Refusal, StepFailed
from cluster.kindcluster import nodes_running
from cluster.leftovers import end_builders, find, sweep
from cluster.process import attempt, wait_for
from cluster.settings import CLUSTER_NAME, WORLD_CONTAINER
from cluster.state import read_state

if TYPE_CHECKING:
    from cluster.progress import Progress
    from cluster.settings import Settings


def down(settings: Settings, progress: Progress, *, wipe_cache: bool) -> None:
    """Remove the cluster of any mode, complete or not; with `wipe_cache` all that was built as well."""
    end_builders(settings)
    state = read_state(settings)
    if state and state.mode == "current":
        progress.say("the cluster is not ours (CLUSTER=current): only forgetting it")
    elif sys.platform == "linux" and (settings.runtime.exists() or find(settings)):
        _down_local(settings, progress)
    if not state or state.mode == "host":
        _down_host(progress)
    shutil.rmtree(settings.run, ignore_errors=True)
    if wipe_cache:
        progress.say(f"removing {settings.cache}")
        for entry in settings.cache.iterdir() if settings.cache.exists() else ():
            if entry.name == "lock":
                continue  # held by this very process
            shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()
    progress.say("down: nothing is left" + ("" if wipe_cache else f" but the cache in {settings.cache}"))


def _down_host(progress: Progress) -> None:
    engine = host_engine()
    if engine is None:
        return
    if engine.run("ps", "-aq", "--filter", f"label=io.x-k8s.kind.cluster={CLUSTER_NAME}").strip():
        kind = shutil.which("kind")
        if kind is None:
            raise Refusal("the cluster runs in your engine, and `kind` is not in PATH to delete it")
        with progress.step("kind delete cluster"):
            attempt([kind, "delete", "cluster", "--name", CLUSTER_NAME], timeout=180)
    engine.answers("rm", "-f", "-v", WORLD_CONTAINER)
    left = nodes_running(engine)
    if left:
        raise LeftoversError(f"still running in your engine: {', '.join(left)}")


def _down_local(settings: Settings, progress: Progress) -> None:
    if os.getuid() != 0:
        raise Refusal("the cluster was started by root; take it down as root")
    owner = settings.runtime / "owner"
    if owner.exists() and owner.read_text() != str(settings.cache):
        raise Refusal(f"the running cluster belongs to BULKHEAD_CACHE={owner.read_text()}; use that setting")
    engine = our_engine(settings)
    with progress.step("stop the cluster and its engine"):
        # Containers first and by the engine, so that it does not try to revive them at its next start.
        if engine.answers("version", timeout=10):
            _remove_containers(engine, progress)
        _stop_engine(settings)
        left = sweep(settings)
    if left:
        raise LeftoversError(f"`down` could not remove: {left.describe()}")
    shutil.rmtree(settings.runtime, ignore_errors=True)


def _remove_containers(engine: Engine, progress: Progress) -> None:
    try:
        containers = engine.run("ps", "-aq").split()
        if containers:
            engine.run("rm", "-f", "-v", *containers, timeout=120)
        engine.run("network", "prune", "-f")
        engine.run("volume", "prune", "-f", timeout=120)
    except StepFailed as error:
        progress.say(f"the engine does not help, ending it by force: {error}")


def _stop_engine(settings: Settings) -> None:
    pid_file = settings.runtime / "dockerd.pid"
    try:
        pid = int(pid_file.read_text())
        command = Path("/proc", str(pid), "cmdline").read_bytes()
    except (OSError, ValueError):
        return
    if str(settings.run / "daemon.json").encode() not in command:
        return  # the number went to another process
    os.kill(pid, signal.SIGTERM)
    with suppress(StepFailed):  # sweep() ends it by force then
        wait_for("dockerd to end", lambda: not Path("/proc", str(pid)).exists(), timeout=30)
