"""The LiteLLM proxy beside the gateway, from a virtual environment of its own: never in this project's."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from processes import free_port, started

from model_standin import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["BAD_VERSIONS", "litellm"]

BAD_VERSIONS = ("1.82.7", "1.82.8")  # MAL-2026-2144: these sent credentials away
_VERSION = "from importlib.metadata import version; print(version('litellm'))"
_KEY = "sk-bench-master"


@contextmanager
def litellm(python: Path, folder: Path, model_url: str, cores: set[int]) -> Iterator[tuple[str, str, int]]:
    """Base URL, key and pid of a proxy with one worker, a key check and nothing else switched on."""
    version = subprocess.run(
        [python, "-I", "-c", _VERSION], check=True, capture_output=True, text=True
    ).stdout.strip()
    if version in BAD_VERSIONS:
        raise RuntimeError(f"start litellm {version}: that release stole credentials; take another one")
    config = {
        "model_list": [
            {
                "model_name": "default",
                "litellm_params": {"model": f"openai/{NAME}", "api_base": model_url, "api_key": "none"},
            }
        ],
        "general_settings": {"master_key": _KEY},
        "litellm_settings": {"telemetry": False, "num_retries": 0, "set_verbose": False},
    }
    file = folder / "litellm.yaml"
    file.write_text(json.dumps(config))  # JSON is YAML
    port = free_port()
    command = [str(python.parent / "litellm"), "--config", str(file), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "1", "--telemetry", "False"]
    print(f"litellm {version} on port {port}")
    offline = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True", "PYTHONPATH": ""}
    with started(command, port, cores=cores, log=folder / "litellm.log", environment=offline) as pid:
        yield f"http://127.0.0.1:{port}/v1", _KEY, pid
