"""`python -m bulkhead_sandbox ROLE [COMMAND...]`: one image, a role a pod."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine
    from typing import Any

    from bulkhead_sandbox.logs import Log

    _Program = Coroutine[Any, Any, int]

__all__ = ["main"]

_USAGE: Final = (
    "usage: python -m bulkhead_sandbox {gateway|egress|tool-runner|guard|canary|runtime [COMMAND...]}"
)
_EX_USAGE: Final = 64  # sysexits.h
_EX_CONFIG: Final = 78
_ROLES: Final = {
    "gateway": "bulkhead_sandbox.gateway",
    "egress": "bulkhead_sandbox.egress",
    "tool-runner": "bulkhead_sandbox.tool_runner",
    "canary": "bulkhead_sandbox.canary",
}


def main(arguments: list[str]) -> int:
    """The exit status of the role named first."""
    role, *command = arguments or [""]
    if role == "guard" and not command:  # before any import that it can do without: every start waits for it
        return cast("int", import_module("bulkhead_sandbox.guard").main(os.environ))
    return _serve(role, command)


def _serve(role: str, command: list[str]) -> int:
    """A role that serves until it is told to stop."""
    # Here and not above: what these import is what a guard would wait for.
    from bulkhead_sandbox.config import ConfigError  # noqa: PLC0415
    from bulkhead_sandbox.logs import bridge_library_logs, to_stdout  # noqa: PLC0415
    from bulkhead_wire.version import VERSION  # noqa: PLC0415

    log = to_stdout(role=role)
    program = _program(role, command, log)
    if program is None:
        print(_USAGE, file=sys.stderr)  # noqa: T201 - for a person at a terminal
        return _EX_USAGE
    bridge_library_logs(log)
    log.info("role.starting", version=VERSION)
    try:
        return _run(program)
    except ConfigError as error:
        problem = str(error)
    log.error("config.refused", problem=problem)
    return _EX_CONFIG


def _program(role: str, command: list[str], log: Log) -> _Program | None:
    """What the role runs; each imports only its own, so that a small role starts fast and stays small."""
    if role == "runtime":
        runtime = import_module("bulkhead_sandbox.runtime")
        return cast("_Program", runtime.run(os.environ, command, log))
    if role not in _ROLES or command:
        return None
    return cast("_Program", import_module(_ROLES[role]).run(os.environ, log))


def _run(program: _Program) -> int:
    from asyncio import Runner  # noqa: PLC0415 - as above

    with Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(program)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        uvloop = import_module("uvloop")
    except ImportError:  # a faster loop, not another behaviour
        return None
    return cast("Callable[[], asyncio.AbstractEventLoop]", uvloop.new_event_loop)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
