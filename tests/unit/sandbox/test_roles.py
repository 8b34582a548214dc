"""Each role as a pod starts it: a process of its own, configured by environment, ended by SIGTERM."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.roles import SOURCES, free_port, running

from bulkhead_wire.keys import jwks_json

from .conftest import HOST, KEY

if TYPE_CHECKING:
    from pathlib import Path


async def get(port: int, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.get(f"http://{HOST}:{port}{path}") as response:
        return response.status, await response.text()


RATE = dict.fromkeys(("requests_per_minute", "tokens_per_minute", "tokens_per_day", "concurrent"), 1)
CONFIGS: dict[str, dict[str, Any]] = {
    "gateway": {
        "workspace": "acme",
        "workspace_uid": "u",
        "audience": "bulkhead:u:gateway",
        "issuer": "bulkhead",
        "listen": 0,
        "operator_listen": 0,
        "guard_listen": 0,
        "canary": "127.0.0.1:1",
        "limits": {"per_user": RATE, "tenant": RATE},
        "memory": {"session_ttl_seconds": 3600},
        "models": [],
        "tools": [],
    },
    "egress": {
        "workspace": "acme",
        "workspace_uid": "u",
        "denied_cidrs": [],
        "listeners": [{"port": 0, "client": "runtime", "rules": []}],
    },
    "tool-runner": {"listen": 0, "path": "/mcp"},
    "runtime": {"listen": 0},
}


def folders(folder: Path) -> dict[str, str]:
    """Where a gateway finds its keys and keeps its data."""
    (folder / "epoch").write_text("0")
    (folder / "keys").mkdir()
    for name in ("cache-salt.key", "tag.key", "gateway.key"):
        (folder / "keys" / name).write_bytes(name.encode().ljust(32))
    return {
        "jwks_file": str(folder / "jwks.json"),
        "epoch_file": str(folder / "epoch"),
        "keys_folder": str(folder / "keys"),
        "data_folder": str(folder / "data"),
    }


STARTED = {"runtime": "runtime.waiting"}


@pytest.mark.parametrize("role", CONFIGS)
async def test_role_starts_is_ready_and_ends_when_told(tmp_path: Path, role: str) -> None:
    """No workspace could become Ready, or none could end in its grace period."""
    jwks = tmp_path / "jwks.json"
    jwks.write_text(jwks_json([KEY]))
    port = free_port()
    config = {**CONFIGS[role], "health_listen": port}
    if role == "gateway":
        config |= folders(tmp_path)
    async with running(role, config=config, TMPDIR=str(tmp_path)) as process:
        await process.until(STARTED.get(role, f"{role}.started"))
        assert await get(port, "/livez") == (200, "ok\n")
        assert await get(port, "/readyz") == (200, '{"failing": []}')
        assert (await get(port, "/metrics"))[0] == 200
        assert await process.end() == 0


async def test_gateway_without_keys_is_alive_and_not_ready(tmp_path: Path) -> None:
    """It would take sessions that it can only refuse, or be restarted for what a restart does not mend."""
    port = free_port()
    config = {**CONFIGS["gateway"], "health_listen": port, **folders(tmp_path)}
    async with running("gateway", config=config) as process:
        await process.until("gateway.started")
        assert await get(port, "/readyz") == (503, '{"failing": ["keys"]}')
        assert (await get(port, "/livez"))[0] == 200


@pytest.mark.parametrize(
    ("arguments", "config", "status", "said"),
    [
        (["egress"], {}, 78, "workspace: is missing"),
        (["gateway", "extra"], {}, 64, ""),
        (["nonsense"], {}, 64, ""),
        ([], {}, 64, ""),
    ],
    ids=["bad config", "extra argument", "unknown role", "no role"],
)
async def test_what_cannot_start_says_why_and_ends(
    arguments: list[str], config: object, status: int, said: str
) -> None:
    """A pod that hangs without a word."""
    async with running(*arguments, config=config) as role:
        out, err = await role.process.communicate()
    assert role.process.returncode == status
    assert said in out.decode()
    assert ("usage" in err.decode()) is (status == 64)


async def test_runtime_runs_the_command_with_its_environment_and_passes_on_signals(tmp_path: Path) -> None:
    """The tenant's agent would not start, or never hear that it shall end."""
    script = "trap 'echo bye >> seen; exit 7' TERM; env > seen; while :; do sleep 0.02; done"
    seen = tmp_path / "seen"
    config = {"listen": 0, "health_listen": 0}
    command = f"cd {tmp_path}; {script}"
    async with running("runtime", "sh", "-c", command, config=config, BULKHEAD_WORKSPACE="acme") as role:
        await role.until("runtime.started")
        async with asyncio.timeout(20):
            while not seen.exists() or "BULKHEAD_WORKSPACE" not in seen.read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert await role.end() == 7
    said = seen.read_text()
    assert "BULKHEAD_WORKSPACE=acme" in said
    assert "BULKHEAD_CONFIG" not in said
    assert said.endswith("bye\n")


@pytest.mark.parametrize(
    ("command", "status"),
    [(["sh", "-c", "exit 3"], 3), (["sh", "-c", "kill -9 $$"], 137), (["no-such-program"], 127)],
    ids=["exit", "signal", "missing"],
)
async def test_runtime_ends_as_its_command_does(command: list[str], status: int) -> None:
    """Kubernetes would take a crash for success."""
    async with running("runtime", *command, config={"listen": 0, "health_listen": 0}) as role:
        await role.process.communicate()
    assert role.process.returncode == status


async def test_waiting_runtime_says_what_it_is() -> None:
    """A user who forgot the image would see a pod that does nothing, and not why."""
    port = free_port()
    async with running("runtime", config={"listen": port, "health_listen": 0}) as role:
        await role.until("runtime.waiting")
        status, text = await get(port, "/anything")
    assert (status, json.loads(text)["name"]) == (200, "bulkhead-runtime")


SAYS_DUMPABLE = """
import asyncio, ctypes, os
from bulkhead_sandbox.logs import Log
from bulkhead_sandbox.tool_runner import run

def write(line):  # its first line says that it has started
    print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), flush=True)
    os._exit(0)

asyncio.run(run(os.environ, Log(write, lambda: 0.0)))
"""


async def test_memory_of_the_tool_runner_is_closed_to_its_own_uid(tmp_path: Path) -> None:
    """Commands run as the same uid: what other calls gave and got would be there for the reading."""
    config = json.dumps({**CONFIGS["tool-runner"], "health_listen": 0})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SAYS_DUMPABLE,
        env={"PYTHONPATH": os.pathsep.join(SOURCES), "BULKHEAD_CONFIG": config, "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert out == b"0\n"
