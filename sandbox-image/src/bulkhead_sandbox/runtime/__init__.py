"""The runtime: the tenant's command, or by default a server that says what it is and waits."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Final

from aiohttp import web
from prometheus_client import CollectorRegistry

from bulkhead_sandbox.config import VARIABLE, RuntimeConfig, read
from bulkhead_sandbox.health import health_app
from bulkhead_sandbox.serve import listening, stop_signal
from bulkhead_wire.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkhead_sandbox.logs import Log

__all__ = ["run", "waiting_app"]

_FORWARDED: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_COLLECT_SECONDS: Final = 2.0
_NOT_STARTED: Final = 127  # as shells say it


def waiting_app() -> web.Application:
    """Answers every GET with what this is."""

    async def answer(_request: web.Request) -> web.Response:
        about = "the default runtime: set spec.runtime.image, or spec.runtime.args, to run something of yours"
        return web.json_response({"name": "bulkhead-runtime", "version": VERSION, "about": about})

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    return app


async def run(environment: Mapping[str, str], command: list[str], log: Log) -> int:
    """The command's exit status (128 + n for signal n), or 0 after SIGTERM where there is no command."""
    config = read(RuntimeConfig, environment)
    stop = stop_signal()
    health = health_app({"draining": lambda: not stop.is_set()}, CollectorRegistry())
    if command:
        async with listening((health, config.health_listen)):
            return await _run_command(command, environment, log)
    async with listening((waiting_app(), config.listen), (health, config.health_listen)):
        log.info("runtime.waiting")
        await stop.wait()
    log.info("runtime.stopped")
    return 0


async def _run_command(command: list[str], environment: Mapping[str, str], log: Log) -> int:
    """Run it with our streams; signals go to it, and as process 1 we collect what it leaves behind."""
    own = {name: value for name, value in environment.items() if name != VARIABLE}
    process = await _started(command, own)
    if process is None:
        log.error("runtime.not-started")
        return _NOT_STARTED
    log.info("runtime.started")
    loop = asyncio.get_running_loop()
    for number in _FORWARDED:
        loop.add_signal_handler(number, _forward, process, number)
    collecting = asyncio.create_task(_collect_orphans(process.pid))
    code = await process.wait()
    collecting.cancel()
    log.info("runtime.ended", exit_code=code)
    return code if code >= 0 else 128 - code


async def _started(command: list[str], environment: dict[str, str]) -> asyncio.subprocess.Process | None:
    try:
        return await asyncio.create_subprocess_exec(*command, env=environment)
    except OSError:
        return None


async def _collect_orphans(command: int) -> None:
    """Let no zombie stay: what the command orphans becomes a child of process 1, which we are in a pod."""
    while True:
        _collect_ended(command)
        await asyncio.sleep(_COLLECT_SECONDS)


def _collect_ended(command: int) -> None:
    with contextlib.suppress(ChildProcessError):
        # WNOWAIT looks without collecting: the command's own end belongs to the event loop.
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if ended.si_pid == command:
                break
            os.waitpid(ended.si_pid, os.WNOHANG)


def _forward(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    if process.returncode is None:
        os.kill(process.pid, number)
