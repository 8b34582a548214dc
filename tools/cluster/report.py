"""What tests, the demo and people need to find the cluster: `env`, `status`, `audit-log`."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import settings as names
from cluster.engine import host_engine, our_engine
from cluster.errors import Refusal, StepFailed
from cluster.kindcluster import api_answers, nodes_running
from cluster.lab import Lab
from cluster.leftovers import find
from cluster.state import State, read_state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cluster.engine import Engine
    from cluster.progress import Progress
    from cluster.settings import Settings

WORLD = {
    "BULKHEAD_WORLD_CONTAINER": names.WORLD_CONTAINER,
    "BULKHEAD_WORLD_ALLOWED": names.WORLD_ALLOWED,
    "BULKHEAD_WORLD_ALLOWED_HOST": f"allowed.{names.WORLD_ZONE}",
    "BULKHEAD_WORLD_DENIED": names.WORLD_DENIED,
    "BULKHEAD_WORLD_DENIED_HOST": f"denied.{names.WORLD_ZONE}",
    "BULKHEAD_WORLD_METADATA": names.WORLD_METADATA,
    "BULKHEAD_WORLD_PRIVATE": names.WORLD_PRIVATE,
    "BULKHEAD_WORLD_PRIVATE_HOST": f"private.{names.WORLD_ZONE}",
    "BULKHEAD_WORLD_REBIND_HOST": f"rebind.{names.WORLD_ZONE}",
    "BULKHEAD_WORLD_DNS": names.WORLD_DNS,
    "BULKHEAD_WORLD_MODEL": names.WORLD_MODEL,
    "BULKHEAD_WORLD_MODEL_URL": f"http://model-stand-in.{names.WORLD_ZONE}:8000/v1",
}


def cluster_environment(settings: Settings, state: State, path: str) -> dict[str, str]:
    """Variables that lead to the running cluster; `path` is the PATH to put our tools before."""
    if state.mode == "current":
        return {"BULKHEAD_CLUSTER": "current"}
    found = {
        "KUBECONFIG": str(settings.kubeconfig),
        "BULKHEAD_CLUSTER": "kind",
        "BULKHEAD_CLUSTER_MODE": state.mode,
        "BULKHEAD_CONTROL_PLANE": names.CONTROL_PLANE,
        "BULKHEAD_NODES": " ".join(names.NODES),
        "BULKHEAD_AUDIT_LOG": names.AUDIT_LOG,
        "BULKHEAD_POD_CIDR": names.POD_CIDR,
        "BULKHEAD_SERVICE_CIDR": names.SERVICE_CIDR,
        **WORLD,
        "BULKHEAD_WORLD_CA": str(settings.world_ca),
    }
    if state.mode == "local":
        found["DOCKER_HOST"] = f"unix://{settings.docker_socket}"
        front = str(settings.run / "bin")
        rest = [entry for entry in path.split(":") if entry and entry != front]
        found["PATH"] = ":".join([front, *rest])
    return found


def render_exports(variables: Mapping[str, str]) -> str:
    """Lines that a POSIX shell can eval, in a stable order."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items()))


def require_state(settings: Settings) -> State:
    """The state of a complete cluster; refused where there is none."""
    state = read_state(settings)
    if state is None or not state.complete:
        raise Refusal("no cluster is up; run `make cluster-up` (or: PYTHONPATH=tools python3 -m cluster up)")
    return state


def environment(settings: Settings) -> dict[str, str]:
    """`cluster_environment` of the cluster that is up."""
    return cluster_environment(settings, require_state(settings), os.environ.get("PATH", ""))


def engine_of(settings: Settings, state: State) -> Engine:
    """The engine that the running cluster is in."""
    engine = our_engine(settings) if state.mode == "local" else host_engine()
    if engine is None:
        raise StepFailed("the container engine of the cluster does not answer")
    return engine


def lab_of(settings: Settings, progress: Progress) -> Lab:
    """The cluster that is up, ready for kind and kubectl."""
    state = require_state(settings)
    if state.mode == "current":
        raise Refusal("CLUSTER=current: images and audit log of a foreign cluster are not ours to touch")
    tools = {name: Path(path) for name, path in state.tools.items()}
    return Lab(settings, engine_of(settings, state), tools, progress)


def audit_log(settings: Settings, progress: Progress) -> str:
    """The API server's audit log as it is now: one JSON event a line."""
    return lab_of(settings, progress).engine.exec(names.CONTROL_PLANE, "cat", names.AUDIT_LOG, timeout=120)


def status(settings: Settings, progress: Progress) -> bool:
    """Print what runs; True when the cluster is complete and answers."""
    state = read_state(settings)
    if state is None:
        left = find(settings) if settings.runtime.exists() else None
        print("cluster: none" + (f"; of an earlier one is left: {left.describe()}" if left else ""))
        return False
    if state.mode == "current":
        print("cluster: the current kubeconfig context")
        return True
    lab = Lab(settings, engine_of(settings, state), {n: Path(p) for n, p in state.tools.items()}, progress)
    answers = api_answers(lab)
    running = nodes_running(lab.engine)
    world = lab.engine.answers("top", names.WORLD_CONTAINER, timeout=10)
    print(
        f"cluster: {names.CLUSTER_NAME}, {state.mode} engine, {'complete' if state.complete else 'half made'}"
    )
    print(f"nodes:   {', '.join(running) or 'none'}")
    print(f"API:     {'answers' if answers else 'does not answer'} (KUBECONFIG={settings.kubeconfig})")
    print(f"world:   {'serves' if world else 'does not run'}")
    if answers:
        print(lab.kubectl("get", "nodes,pods", "-A", "-o", "wide"), end="")
    return answers and world and state.complete and running == sorted(names.NODES)


def which_tool(name: str, settings: Settings) -> str:
    """A tool as the cluster uses it, else the one in PATH."""
    state = read_state(settings)
    return (state.tools.get(name) if state else None) or shutil.which(name) or name
