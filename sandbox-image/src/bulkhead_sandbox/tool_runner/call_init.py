"""The first process of one call: runs one command under limits and leaves nothing of it behind.

Run as a script with `python -I -S call_init.py FD ARGV...`; standard library only, imports nothing of ours,
for a quick start. It is the child subreaper of its call: a process that forks twice and leaves its session
still becomes its child, and is killed with the rest when the command ends, when the other end of the socket
FD closes, or when the tool-runner dies.

What it answers on FD is one line: `exit N`, `signal N` or `error TEXT` (the command could not be started).

What this does not do: processes of one pod share one uid, so a command can kill this process (the tool-runner
then ends its orphans) or look at another call's files. Sessions of one workspace are kept apart from
accidents, not from attack; the boundary is the pod. The number of processes is left to the pod's limit:
RLIMIT_NPROC counts a uid's processes on the whole node.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import select
import signal
import socket
import sys
import time

TYPE_CHECKING = False  # importing typing would double the start
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["become_reaper", "descendants", "kill_all", "main"]

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38

_MEBIBYTE = 1024 * 1024
_LIMITS = {
    resource.RLIMIT_CPU: 30,  # seconds
    resource.RLIMIT_AS: 512 * _MEBIBYTE,
    resource.RLIMIT_FSIZE: 64 * _MEBIBYTE,
    resource.RLIMIT_NOFILE: 256,
    resource.RLIMIT_CORE: 0,
}
_KILL_SECONDS = 5.0


def main(control: socket.socket, argv: list[str]) -> None:
    """Run `argv` to its end or until `control` closes, kill whatever is left, say how it ended."""
    become_reaper()
    control.set_inheritable(False)
    woken = _wake_on_child_end()
    pid, failure = _start(argv)
    if failure:
        os.waitpid(pid, 0)
        _say(control, f"error {failure}")
        return
    _give_up_streams()
    ended: dict[int, int] = {}
    while pid not in ended:
        readable, _, _ = select.select([control, woken], [], [])
        if woken in readable:
            woken.recv(4096)
            ended |= _reaped()
        if control in readable:
            break
    kill_all(os.getpid(), set(), lambda _killed: ended.update(_reaped()))
    _say(control, _describe(ended.get(pid)))


def become_reaper() -> None:
    """Orphans below come to us; nothing below gains rights by exec; nobody of our uid reads our memory."""
    libc = ctypes.CDLL(None, use_errno=True)
    for option, value in ((_PR_SET_CHILD_SUBREAPER, 1), (_PR_SET_NO_NEW_PRIVS, 1), (_PR_SET_DUMPABLE, 0)):
        if libc.prctl(option, value, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"prctl {option}")


def kill_all(root: int, spared: set[int], reap: Callable[[set[int]], object]) -> None:
    """SIGKILL all below `root` until none is left; stopped first, for what forks faster than that."""
    deadline = time.monotonic() + _KILL_SECONDS
    while (found := descendants(root, spared)) and time.monotonic() < deadline:
        stopped: set[int] = set()
        while found - stopped and time.monotonic() < deadline:
            _signal(found - stopped, signal.SIGSTOP)
            stopped |= found
            found = descendants(root, spared)
        _signal(found, signal.SIGKILL)
        time.sleep(0.001)  # let them die
        reap(found)
    reap(set())


def descendants(root: int, spared: set[int]) -> set[int]:
    """Every living process below `root`, but for those in `spared` and all below these."""
    children: dict[int, set[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib would add a third to the start
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                # The command's name, in parentheses, may hold anything: the fields start after the last one.
                state, parent, *_ = stat.read().rpartition(b")")[2].split()
                if state != b"Z":
                    children.setdefault(int(parent), set()).add(int(name))
    found: set[int] = set()
    level = {root}
    while level:
        level = set().union(*(children.get(pid, set()) for pid in level)) - found - spared
        found |= level
    return found


def _wake_on_child_end() -> socket.socket:
    """A socket that becomes readable at SIGCHLD."""
    woken, waker = socket.socketpair()
    waker.setblocking(False)  # noqa: FBT003 - the standard library's signature
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    signal.set_wakeup_fd(waker.detach())
    return woken


def _start(argv: list[str]) -> tuple[int, str]:
    """Fork and execute; what went wrong comes back through a pipe that a successful exec closes."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec keeps that
            for limit, value in _LIMITS.items():
                _, hard = resource.getrlimit(limit)
                most = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.setrlimit(limit, (most, most))
            os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point
        except BaseException as error:  # noqa: BLE001 - nothing may return into the parent's code
            os.write(writing, (getattr(error, "strerror", None) or type(error).__name__).encode())
        os._exit(127)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        return pid, pipe.read().decode()


def _give_up_streams() -> None:
    """Hold none of the command's streams, so that they end with the command."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(null, stream)


def _reaped() -> dict[int, int]:
    """Collect every ended child: its wait status by its id."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            ended[pid] = status
    return ended


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _describe(status: int | None) -> str:
    if status is None:
        return "error it would not end"
    code = os.waitstatus_to_exitcode(status)
    return f"exit {code}" if code >= 0 else f"signal {-code}"


def _say(control: socket.socket, line: str) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        control.sendall(f"{line}\n".encode())


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])
