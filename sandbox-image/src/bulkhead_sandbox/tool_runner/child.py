"""One command as one bounded family of processes: its time, output and memory end, and so does the family."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, cast

from bulkhead_sandbox.tool_runner.call_init import kill_all

__all__ = ["MAX_STREAM_BYTES", "Command", "Commands", "Ended", "Stream", "standard_environment"]

MAX_STREAM_BYTES: Final = 64 * 1024
_CHUNK_BYTES: Final = 64 * 1024
_KILL_SECONDS: Final = 10.0  # call_init gives up after 5
_CALL_INIT: Final = str(Path(__file__).with_name("call_init.py"))
_PROXY_VARIABLES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run, where, with what on its standard input, for how long at most."""

    argv: tuple[str, ...]
    folder: str
    stdin: bytes
    timeout_seconds: float


@dataclass(frozen=True, slots=True)
class Stream:
    """The first 64 KiB of what was written, and whether there was more."""

    data: bytes
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command ended: one of exit_code, signal, error; none of them if it ran out of time."""

    exit_code: int | None = None
    signal: str | None = None
    error: str | None = None  # it could not be started
    timed_out: bool = False
    stdout: Stream
    stderr: Stream


def standard_environment(folder: str) -> dict[str, str]:
    """What every command sees: nothing of ours but the way out, if there is one."""
    proxies = {name: os.environ[name] for name in _PROXY_VARIABLES if name in os.environ}
    return {
        **proxies,
        "HOME": folder,
        "LANG": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "TMPDIR": folder,
    }


class Commands:
    """Runs commands, each below a call_init of its own.

    `sweeps`: this process is their last reaper, so what kills its call_init comes here and is killed.
    """

    def __init__(self, *, sweeps: bool) -> None:
        self._sweeps = sweeps
        self._running: set[int] = set()
        self._starting = asyncio.Lock()  # a sweep must not take a new call_init for a stray

    async def run(self, command: Command) -> Ended:
        """Run it to its end, its time's end or until cancelled; no process that it started is there after."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
        with ours:
            with theirs:
                process = await self._start(command, theirs)
            pipes = _Pipes(process, command.stdin)
            try:
                return await self._follow(process, ours, pipes, command.timeout_seconds)
            finally:
                await asyncio.shield(self._finish(process, ours, pipes))

    async def _start(self, command: Command, control: socket.socket) -> Process:
        async with self._starting:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-I",
                "-S",
                _CALL_INIT,
                str(control.fileno()),
                *command.argv,
                cwd=command.folder,
                env=standard_environment(command.folder),
                pass_fds=(control.fileno(),),
                start_new_session=True,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
            )
            self._running.add(process.pid)
            return process

    async def _follow(
        self, process: Process, control: socket.socket, pipes: _Pipes, timeout_seconds: float
    ) -> Ended:
        timed_out = False
        try:
            async with asyncio.timeout(timeout_seconds):
                said = await _last_words(control)
        except TimeoutError:
            timed_out = True
            said = await _end(control)
        async with asyncio.timeout(_KILL_SECONDS):
            if not said:
                await self._sweep(process)  # else its orphans hold the streams open
            return _ended(said, await pipes.stdout, await pipes.stderr, timed_out=timed_out)

    async def _finish(self, process: Process, control: socket.socket, pipes: _Pipes) -> None:
        """call_init is gone: it has ended, or ends now because nobody listens, or is killed."""
        with contextlib.suppress(OSError):
            control.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                await process.wait()
        if process.returncode != 0:  # it was killed, or hangs
            await self._sweep(process)
        self._running.discard(process.pid)
        pipes.close()

    async def _sweep(self, process: Process) -> None:
        """call_init said nothing: it was killed, or hangs. End it, and all that has no call_init any more."""
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        self._running.discard(process.pid)
        if self._sweeps:
            async with self._starting:
                await asyncio.to_thread(_kill_strays, self._running.copy(), process.pid)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_SECONDS):
                # Only now: asyncio also waits for the pipes, which orphans hold open.
                await process.wait()


def _kill_strays(running: set[int], ended: int) -> None:
    """Kill every child of ours that is no call; `ended` itself is the event loop's to collect."""
    killed: set[int] = set()

    def reap(found: set[int]) -> None:
        killed.update(found - {ended})
        for pid in killed.copy():
            with contextlib.suppress(ChildProcessError):  # not ours yet: its parent is still to be collected
                if os.waitpid(pid, os.WNOHANG) != (0, 0):
                    killed.discard(pid)

    kill_all(os.getpid(), running, reap)


class _Pipes:
    """What carries a command's streams; read to their end even if nobody wants them, or they never end."""

    def __init__(self, process: Process, stdin: bytes) -> None:
        streams = cast("_Streams", process)  # all three are pipes
        self._feeding = asyncio.create_task(_feed(streams.stdin, stdin))
        self.stdout = asyncio.create_task(_collect(streams.stdout))
        self.stderr = asyncio.create_task(_collect(streams.stderr))

    def close(self) -> None:
        """Whatever is still open is left alone."""
        for task in (self._feeding, self.stdout, self.stderr):
            task.cancel()


class _Streams(Protocol):
    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader


async def _feed(stdin: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it need not read what it is given
        stdin.write(data)
        await stdin.drain()
        stdin.close()
        await stdin.wait_closed()


async def _collect(stream: asyncio.StreamReader) -> Stream:
    """Read to the end and keep the beginning: a writer is never blocked, and memory never grows."""
    kept = bytearray()
    truncated = False
    while chunk := await stream.read(_CHUNK_BYTES):
        room = MAX_STREAM_BYTES - len(kept)
        kept += chunk[:room]
        truncated = truncated or len(chunk) > room
    return Stream(bytes(kept), truncated)


async def _last_words(control: socket.socket) -> str:
    """What call_init says at the end; empty if it was killed."""
    loop = asyncio.get_running_loop()
    said = b""
    while chunk := await loop.sock_recv(control, 4096):
        said += chunk
    return said.decode().strip()


async def _end(control: socket.socket) -> str:
    """Ask call_init to end its family, and wait until it has."""
    control.shutdown(socket.SHUT_WR)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_KILL_SECONDS):
            return await _last_words(control)
    return ""


def _ended(said: str, stdout: Stream, stderr: Stream, *, timed_out: bool) -> Ended:
    kind, _, rest = said.partition(" ")
    if timed_out:
        return Ended(timed_out=True, stdout=stdout, stderr=stderr)
    if kind == "exit":
        return Ended(exit_code=int(rest), stdout=stdout, stderr=stderr)
    if kind == "signal":
        return Ended(signal=_signal_name(int(rest)), stdout=stdout, stderr=stderr)
    return Ended(error=rest or "the command killed what watched over it", stdout=stdout, stderr=stderr)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
