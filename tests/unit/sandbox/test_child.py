from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bulkhead_sandbox.tool_runner.call_init import descendants
from bulkhead_sandbox.tool_runner.child import Command, Commands, Ended

if TYPE_CHECKING:
    from collections.abc import Callable

PYTHON = sys.executable


async def run(folder: Path, *argv: str, stdin: bytes = b"", timeout_seconds: float = 30) -> Ended:
    command = Command(argv=argv, folder=str(folder), stdin=stdin, timeout_seconds=timeout_seconds)
    return await Commands(sweeps=False).run(command)


def alive(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another process does: there is nothing in this one to be woken by."""
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_command_runs_in_its_folder_and_its_end_is_told(tmp_path: Path) -> None:
    """The main job of a tool."""
    ended = await run(tmp_path, "sh", "-c", "pwd; echo oops >&2; exit 3")
    assert (ended.exit_code, ended.signal, ended.error, ended.timed_out) == (3, None, None, False)
    assert (ended.stdout.data, ended.stderr.data) == (f"{tmp_path}\n".encode(), b"oops\n")


async def test_arguments_are_no_shell_words(tmp_path: Path) -> None:
    """A file name with a semicolon would be a command."""
    assert (await run(tmp_path, "echo", "$HOME; id", "*")).stdout.data == b"$HOME; id *\n"


async def test_command_reads_what_it_is_given(tmp_path: Path) -> None:
    """A megabyte through a pipe that holds 64 KiB: feeding and reading must not wait for each other."""
    data = b"x" * 1_000_000
    assert (await run(tmp_path, "wc", "-c", stdin=data)).stdout.data.strip() == b"1000000"


async def test_command_that_reads_nothing_is_no_failure(tmp_path: Path) -> None:
    """Broken pipes are everyday."""
    assert (await run(tmp_path, "true", stdin=b"x" * 1_000_000)).exit_code == 0


async def test_environment_holds_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Configuration and secrets of the pod would be the tenant's."""
    monkeypatch.setenv("BULKHEAD_CONFIG", "planted")
    monkeypatch.setenv("SOME_SECRET", "planted")
    monkeypatch.setenv("HTTPS_PROXY", "http://egress:3129")
    ended = await run(tmp_path, "env")
    seen = dict(line.split("=", 1) for line in ended.stdout.data.decode().splitlines())
    proxies = {name for name in seen if name.lower().endswith("_proxy")}
    assert seen["HTTPS_PROXY"] == "http://egress:3129"
    assert set(seen) - proxies == {"HOME", "LANG", "PATH", "TMPDIR"}
    assert seen["HOME"] == str(tmp_path)


async def test_command_holds_no_file_of_ours(tmp_path: Path) -> None:
    """With our socket it could say for us how it ended; with a listener it could answer for us."""
    listing = await run(
        tmp_path, PYTHON, "-c", "import os; print(sorted(map(int, os.listdir('/proc/self/fd'))))"
    )
    assert listing.stdout.data == b"[0, 1, 2, 3]\n", "0 to 2, and the folder being listed"


async def test_limits_are_set(tmp_path: Path) -> None:
    """One call could take the pod's memory, disk or processor."""
    code = (
        "import resource as r;"
        "print([r.getrlimit(getattr(r, 'RLIMIT_' + n)) for n in ('CPU', 'AS', 'FSIZE', 'NOFILE', 'CORE')])"
    )
    mebibyte = 1024 * 1024
    limits = [30, 512 * mebibyte, 64 * mebibyte, 256, 0]
    assert (await run(tmp_path, PYTHON, "-c", code)).stdout.data.decode() == f"{[(n, n) for n in limits]}\n"


async def test_command_cannot_gain_rights(tmp_path: Path) -> None:
    """A set-uid program in an image would be a way up."""
    ended = await run(tmp_path, "grep", "NoNewPrivs", "/proc/self/status")
    assert ended.stdout.data.split() == [b"NoNewPrivs:", b"1"]


async def test_too_much_memory_ends_the_command_only(tmp_path: Path) -> None:
    """The pod would be killed, and everyone's calls with it."""
    ended = await run(tmp_path, PYTHON, "-c", "bytearray(2**30)")
    assert b"MemoryError" in ended.stderr.data


async def test_flood_of_output_is_cut_and_said_to_be(tmp_path: Path) -> None:
    """Memory would grow with what a command writes."""
    ended = await run(tmp_path, "sh", "-c", "head -c 3000000 /dev/zero; head -c 65536 /dev/zero >&2")
    assert (len(ended.stdout.data), ended.stdout.truncated) == (65536, True)
    assert (len(ended.stderr.data), ended.stderr.truncated) == (65536, False)
    assert ended.exit_code == 0


async def test_program_that_is_not_there_is_an_error_of_the_call(tmp_path: Path) -> None:
    """127 could be the program's own code."""
    ended = await run(tmp_path, "no-such-program")
    assert (ended.exit_code, ended.error) == (None, "No such file or directory")


async def test_death_by_signal_is_named(tmp_path: Path) -> None:
    """A crash would look like an exit."""
    ended = await run(tmp_path, "sh", "-c", "kill -SEGV $$")
    assert (ended.exit_code, ended.signal) == (None, "SIGSEGV")


DETACHED = "(setsid sh -c 'sleep 300 & echo $! > {0}; wait' &); while ! [ -s {0} ]; do sleep 0.01; done"


@pytest.mark.parametrize("after", ["exit 0", "sleep 300"], ids=["at the end", "at the timeout"])
async def test_process_that_detached_itself_ends_with_the_call(tmp_path: Path, after: str) -> None:
    """Two forks and a new session, and a tenant has a daemon that outlives every limit."""
    script = f"{DETACHED.format('pid')}; {after}"
    ended = await run(tmp_path, "sh", "-c", script, timeout_seconds=0.7 if "sleep" in after else 30)
    assert ended.timed_out is ("sleep" in after)
    assert not alive(int((tmp_path / "pid").read_text()))


async def test_command_that_ignores_every_signal_ends_at_the_timeout(tmp_path: Path) -> None:
    """A polite end could be refused."""
    script = "trap '' TERM INT HUP; echo $$ > pid; while :; do sleep 0.05; done"
    ended = await run(tmp_path, "sh", "-c", script, timeout_seconds=0.3)
    assert ended.timed_out
    assert not alive(int((tmp_path / "pid").read_text()))


async def test_output_before_the_timeout_is_kept(tmp_path: Path) -> None:
    """The caller would not see how far it came."""
    ended = await run(tmp_path, "sh", "-c", "echo first; sleep 300", timeout_seconds=0.5)
    assert (ended.timed_out, ended.stdout.data) == (True, b"first\n")


async def test_cancelled_call_leaves_no_process(tmp_path: Path) -> None:
    """A caller that hangs up would leave its work running."""
    pid_file = tmp_path / "pid"
    task = asyncio.create_task(run(tmp_path, "sh", "-c", f"{DETACHED.format('pid')}; sleep 300"))
    await until(lambda: pid_file.exists() and pid_file.read_text() != "")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not alive(int(pid_file.read_text()))
    assert descendants(os.getpid(), set()) == set()


SWEEPING = """
import asyncio, os, sys
from bulkhead_sandbox.tool_runner.call_init import become_reaper, descendants
from bulkhead_sandbox.tool_runner.child import Command, Commands

async def main():
    become_reaper()
    commands = Commands(sweeps=True)
    def run(script):
        return commands.run(Command(argv=("sh", "-c", script), folder=".", stdin=b"", timeout_seconds=20))
    other = asyncio.create_task(run("touch begun; while [ -e begun ]; do sleep 0.01; done; echo unharmed"))
    while not os.path.exists("begun"):
        await asyncio.sleep(0.01)
    killed = await run("(setsid sleep 300 &); kill -9 $PPID; sleep 300")
    os.unlink("begun")
    ended = await other
    left = descendants(os.getpid(), set())
    print(killed.error, ended.stdout.data, left, sep=" | ")

asyncio.run(main())
"""


async def test_command_that_kills_its_watcher_ends_with_it_and_others_go_on(tmp_path: Path) -> None:
    """Same uid, so it can; its orphans must not live on, nor another call die with them."""
    # In a process of its own: the sweep takes every child that is no call, pytest's too.
    process = await asyncio.create_subprocess_exec(
        PYTHON,
        "-c",
        SWEEPING,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert out == b"the command killed what watched over it | b'unharmed\\n' | set()\n"


async def test_cancelled_flood_ends_at_once(tmp_path: Path) -> None:
    """Nobody reads any more, the pipe is full, and its end would never be seen."""
    task = asyncio.create_task(run(tmp_path, "sh", "-c", "touch begun; yes"))
    await until((tmp_path / "begun").exists)
    task.cancel()
    async with asyncio.timeout(9):  # less than the grace that a hanging process gets
        with pytest.raises(asyncio.CancelledError):
            await task
    assert descendants(os.getpid(), set()) == set()


async def test_death_of_the_tool_runner_ends_its_calls(tmp_path: Path) -> None:
    """A tool-runner out of memory would leave its tenants' processes to themselves."""
    code = (
        "import asyncio; from bulkhead_sandbox.tool_runner.child import Command, Commands\n"
        "asyncio.run(Commands(sweeps=False).run(Command(argv=('sh', '-c', 'echo $$ > pid; sleep 300'),"
        "folder='.', stdin=b'', timeout_seconds=99)))"
    )
    pid_file = tmp_path / "pid"
    process = await asyncio.create_subprocess_exec(
        PYTHON, "-c", code, cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
    await until(lambda: pid_file.exists() and pid_file.read_text() != "")
    process.send_signal(signal.SIGKILL)
    await process.wait()
    pid = int(pid_file.read_text())
    await until(lambda: not alive(pid))
