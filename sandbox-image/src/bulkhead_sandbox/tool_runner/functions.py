"""What the tool-runner can do: each function's arguments, what it promises, and the doing."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from bulkhead_sandbox.shape import Bounds, Doc, decode, json_schema
from bulkhead_sandbox.tool_runner.child import Command, Commands, Ended
from bulkhead_sandbox.tool_runner.files import Folder

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

__all__ = ["FUNCTIONS", "Function", "Outcome", "Session"]

Encoding = Literal["utf-8", "base64"]
FilePath = Annotated[str, Bounds(1, 4096), Doc("Relative to the session's folder, with / between names.")]
Timeout = Annotated[
    int,
    Bounds(1, 300),
    Doc("The command and all that it started is killed after this; the request's own time must be longer."),
]
# Less than the gateway's 30 s, so that a call that gives no time at all is told what came until then.
_SECONDS: Final = 25


@dataclass(frozen=True, slots=True)
class Session:
    """Where one session's calls happen."""

    folder: Path
    commands: Commands


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a function gives back; `is_error`: it did not do what it was asked."""

    structured: dict[str, Any]
    is_error: bool = False
    truncated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellExec:
    """Arguments of shell_exec."""

    argv: Annotated[tuple[str, ...], Bounds(1, 256), Doc("Program and arguments; no shell reads them.")]
    stdin: Annotated[str, Doc("What the program reads.")] = ""
    timeout_seconds: Timeout = _SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonExec:
    """Arguments of python_exec."""

    code: Annotated[str, Doc("A whole program; print what you want to see.")]
    timeout_seconds: Timeout = _SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRead:
    """Arguments of file_read."""

    path: FilePath
    offset: Annotated[int, Bounds(0, 2**53 - 1), Doc("First byte to read.")] = 0
    length: Annotated[int, Bounds(1, 1024 * 1024), Doc("Bytes to read at most.")] = 64 * 1024
    encoding: Annotated[Encoding, Doc("utf-8 shows unreadable bytes as U+FFFD; base64 is exact.")] = "utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWrite:
    """Arguments of file_write."""

    path: FilePath
    content: str
    encoding: Encoding = "utf-8"
    append: Annotated[bool, Doc("Keep what is there and add to it.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileList:
    """Arguments of file_list."""

    path: Annotated[str, Bounds(0, 4096), Doc("Empty: the session's folder itself.")] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDelete:
    """Arguments of file_delete."""

    path: FilePath


async def shell_exec(asked: ShellExec, session: Session) -> Outcome:
    """Run a program in the session's folder, as a bounded family of processes."""
    stdin = asked.stdin.encode()
    return await _run(asked.argv, stdin, asked.timeout_seconds, session)


async def python_exec(asked: PythonExec, session: Session) -> Outcome:
    """Run a Python program in the session's folder, as a bounded family of processes."""
    argv = (sys.executable, "-I", "-X", "utf8", "-")
    return await _run(argv, asked.code.encode(), asked.timeout_seconds, session)


async def file_read(asked: FileRead, session: Session) -> Outcome:
    """Read a part of a file."""
    data, size = await asyncio.to_thread(Folder(session.folder).read, asked.path, asked.offset, asked.length)
    content = (
        data.decode("utf-8", "replace") if asked.encoding == "utf-8" else base64.b64encode(data).decode()
    )
    truncated = asked.offset + len(data) < size
    return Outcome({"content": content, "size_bytes": size, "truncated": truncated}, truncated=truncated)


async def file_write(asked: FileWrite, session: Session) -> Outcome:
    """Write a file as a whole, or add to it, making folders on the way; readers never see a part."""
    try:
        data = asked.content.encode() if asked.encoding == "utf-8" else _from_base64(asked.content)
    except binascii.Error:
        return Outcome({"error": "content: is not base64"}, is_error=True)
    size = await asyncio.to_thread(Folder(session.folder).write, asked.path, data, append=asked.append)
    return Outcome({"size_bytes": size})


async def file_list(asked: FileList, session: Session) -> Outcome:
    """List a folder, sorted by name."""
    entries, truncated = await asyncio.to_thread(Folder(session.folder).entries, asked.path)
    return Outcome(
        {"entries": [asdict(entry) for entry in entries], "truncated": truncated}, truncated=truncated
    )


async def file_delete(asked: FileDelete, session: Session) -> Outcome:
    """Delete a file, or a folder with all in it."""
    await asyncio.to_thread(Folder(session.folder).delete, asked.path)
    return Outcome({"deleted": asked.path})


@dataclass(frozen=True, slots=True)
class Function:
    """One MCP tool: its definition is written from the dataclass that reads its arguments."""

    name: str
    description: str
    arguments: type[Any]
    do: Callable[[Any, Session], Awaitable[Outcome]]

    def definition(self) -> dict[str, Any]:
        """As `tools/list` shows it."""
        return {
            "name": self.name,
            "description": self.description,
            "inputSchema": json_schema(self.arguments),
        }

    async def call(self, arguments: Any, session: Session) -> Outcome:
        """The outcome in one session; ShapeError or FileProblem if the arguments or a file do not fit."""
        return await self.do(decode(self.arguments, arguments), session)


FUNCTIONS: Final = (
    Function(
        "shell_exec",
        "Run a program in the session's folder. argv is executed as it is, without a shell; give "
        '["sh", "-c", "..."] for one. Output is cut at 64 KiB a stream. Everything that the program '
        "started ends with it.",
        ShellExec,
        shell_exec,
    ),
    Function(
        "python_exec",
        "Run a Python program in the session's folder; what it prints comes back, cut at 64 KiB a stream.",
        PythonExec,
        python_exec,
    ),
    Function("file_read", "Read a file, or a part of it.", FileRead, file_read),
    Function(
        "file_write",
        "Write a file of at most 16 MiB as a whole, or add to it; missing folders are made.",
        FileWrite,
        file_write,
    ),
    Function("file_list", "List a folder, sorted by name, at most 1000 names.", FileList, file_list),
    Function("file_delete", "Delete a file, or a folder with all in it.", FileDelete, file_delete),
)


async def _run(argv: tuple[str, ...], stdin: bytes, timeout_seconds: int, session: Session) -> Outcome:
    if any("\0" in word for word in argv):
        return Outcome({"error": "argv: NUL cannot be part of an argument"}, is_error=True)
    command = Command(
        argv=argv, folder=os.fspath(session.folder), stdin=stdin, timeout_seconds=timeout_seconds
    )
    try:
        ended = await session.commands.run(command)
    except OSError as error:  # E2BIG: more arguments than the kernel takes
        return Outcome({"error": f"argv: {error.strerror}"}, is_error=True)
    return _outcome(ended)


def _outcome(ended: Ended) -> Outcome:
    truncated = ended.stdout.truncated or ended.stderr.truncated
    structured = {
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "error": ended.error,
        "timed_out": ended.timed_out,
        "stdout": ended.stdout.data.decode("utf-8", "replace"),
        "stderr": ended.stderr.data.decode("utf-8", "replace"),
        "truncated": truncated,
    }
    # A program that ends by itself with a code other than 0 has answered; that is for the caller to judge.
    return Outcome(structured, is_error=ended.exit_code is None, truncated=truncated)


def _from_base64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
