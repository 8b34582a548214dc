"""Commands with a deadline; what a failed one printed last is part of the error."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from cluster.errors import StepFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

TAIL_LINES = 15


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | IO[bytes] | None = None,
) -> str:
    """Standard output of a command that ended with 0 in time; with `log`, everything it prints goes there.

    Raises StepFailed with the last lines otherwise. Its whole process group ends with it.
    """
    code, out, err = attempt(argv, timeout=timeout, log=log, cwd=cwd, env=env, stdin=stdin)
    if code == 0:
        return out
    shown = " ".join(str(part) for part in argv)[:200]
    cause = f"no end within {timeout:.0f} s" if code is None else f"exit {code}"
    last = tail(log) if log else "\n".join((err or out).splitlines()[-TAIL_LINES:])
    where = f"; all of it in {log}" if log else ""
    raise StepFailed(f"run {shown}: {cause}{where}\n{last}")


def attempt(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    log: Path | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | IO[bytes] | None = None,
) -> tuple[int | None, str, str]:
    """Exit code (None: out of time), standard output and standard error of a command."""
    sink: IO[bytes] | None = None
    if log:
        log.parent.mkdir(parents=True, exist_ok=True)
        sink = log.open("ab")
    data = stdin if isinstance(stdin, bytes) else None
    source = stdin if not isinstance(stdin, bytes) else subprocess.PIPE
    try:
        process = subprocess.Popen(
            [str(part) for part in argv],
            stdin=source if source is not None else subprocess.DEVNULL,
            stdout=sink or subprocess.PIPE,
            stderr=subprocess.STDOUT if sink else subprocess.PIPE,
            cwd=cwd,
            env=dict(env) if env is not None else None,
            start_new_session=True,  # so that the deadline reaches the compilers that `go build` starts
        )
    except FileNotFoundError:
        return 127, "", f"{argv[0]}: not found"
    finally:
        if sink:
            sink.close()
    try:
        out, err = process.communicate(data, timeout=timeout)
    except subprocess.TimeoutExpired:
        _end_group(process)
        return None, "", ""
    except BaseException:
        _end_group(process)
        raise
    return process.returncode, (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace")


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a log file, or nothing where there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as stream:
        stream.seek(max(0, log.stat().st_size - 16384))
        return "\n".join(stream.read().decode(errors="replace").splitlines()[-lines:])


def wait_for(what: str, check: Callable[[], bool], *, timeout: float, pause: float = 0.3) -> None:
    """Return as soon as `check` holds; StepFailed naming `what` when it does not in time."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise StepFailed(f"wait for {what}: not within {timeout:.0f} s")
        time.sleep(pause)
