"""A role as a pod starts it: a process of its own, configured by environment."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["SOURCES", "Role", "free_port", "running"]

HOST = "127.0.0.1"
SOURCES = [str(Path(__file__).parents[2] / folder) for folder in ("operator", "sandbox-image/src")]


def free_port() -> int:
    """A port that was free a moment ago; roles take fixed ports, so they cannot be asked for theirs."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Role:
    """A running role and its log."""

    process: asyncio.subprocess.Process
    lines: list[dict[str, Any]] = field(default_factory=list)

    async def until(self, event: str) -> None:
        """Read the log up to an event."""
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            while line := await self.process.stdout.readline():
                self.lines.append(json.loads(line))
                if self.lines[-1]["event"] == event:
                    return
        raise AssertionError(f"{event} never came: {self.lines}")

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; its exit status."""
        self.process.send_signal(number)
        async with asyncio.timeout(20):
            return await self.process.wait()


@asynccontextmanager
async def running(*arguments: str, config: object, **variables: str) -> AsyncIterator[Role]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(SOURCES), **variables}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bulkhead_sandbox", *arguments),
        env={**environment, "BULKHEAD_CONFIG": json.dumps(config)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Role(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
