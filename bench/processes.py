"""Programs that are measured: on a core of their own, their CPU time and memory read from /proc."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["cpu_seconds", "free_port", "rss_mib", "started"]

START_SECONDS = 60
STOP_SECONDS = 30
_TICKS = os.sysconf("SC_CLK_TCK")
_PATH = os.pathsep.join(("tools", "operator", "sandbox-image/src"))
_ROOT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    """One that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def rss_mib(pid: int) -> float:
    """Memory that is resident now."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


@contextmanager
def started(
    command: Sequence[str],
    port: int,
    *,
    cores: set[int],
    log: Path,
    environment: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """The pid of `command` once it listens, ended with the block; nothing of our environment reaches it."""
    whole = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.pathsep.join(str(_ROOT / part) for part in _PATH.split(os.pathsep)),
        "HOME": str(log.parent),
        **(environment or {}),
    }
    with log.open("wb") as sink:
        process = subprocess.Popen(command, env=whole, stdout=sink, stderr=sink)
    try:
        os.sched_setaffinity(process.pid, cores)
        _until_listening(process, port, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_listening(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    give_up = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    said = log.read_text(errors="replace")[-2000:]
    raise RuntimeError(f"start {log.stem}: it does not listen on port {port}; it said:\n{said}")
