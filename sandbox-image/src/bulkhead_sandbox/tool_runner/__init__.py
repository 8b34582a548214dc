"""The tool-runner: an MCP server with a shell, Python and files, each call bounded."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter

from bulkhead_sandbox.config import ConfigError, ToolRunnerConfig, read
from bulkhead_sandbox.health import health_app
from bulkhead_sandbox.serve import listening, stop_signal
from bulkhead_sandbox.tool_runner.call_init import become_reaper
from bulkhead_sandbox.tool_runner.child import Commands
from bulkhead_sandbox.tool_runner.functions import FUNCTIONS
from bulkhead_sandbox.tool_runner.server import McpServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkhead_sandbox.logs import Log

__all__ = ["calls_counter", "run"]


def calls_counter(registry: CollectorRegistry) -> Counter:
    """How many calls each function had, by how they ended."""
    return Counter(
        "bulkhead_tool_runner_calls", "Calls answered.", ("function", "outcome"), registry=registry
    )


async def run(environment: Mapping[str, str], log: Log) -> int:
    """Serve until SIGTERM, then let calls under way end within 20 s."""
    config = read(ToolRunnerConfig, environment)
    if not config.path.startswith("/"):
        raise ConfigError("path: must start with /")
    become_reaper()
    registry = CollectorRegistry()
    work = Path(tempfile.gettempdir()) / "work"
    work.mkdir(mode=0o700, exist_ok=True)
    server = McpServer(
        FUNCTIONS, work, commands=Commands(sweeps=True), calls=calls_counter(registry), log=log
    )
    stop = stop_signal()
    async with listening(
        (server.app(config.path), config.listen),
        (health_app({"draining": lambda: not stop.is_set()}, registry), config.health_listen),
    ):
        log.info("tool-runner.started")
        await stop.wait()
        log.info("tool-runner.draining")
    log.info("tool-runner.stopped")
    return 0
