"""A gateway process that does nothing but put calls on record; tests kill it, or take its disk away.

`python audit_load.py FOLDER PROCESS CALLERS [FILE_BYTES]` writes one line on standard output for each thing
that happens: `call ID` is what an upstream would have seen.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from itertools import count
from pathlib import Path

from support.audit_files import identity

from bulkhead_sandbox.gateway.audit import AuditLog, open_audit
from bulkhead_sandbox.logs import Log
from bulkhead_sandbox.problems import Problem

_NUMBERS = count()


def _say(*words: object) -> None:
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # at once: what is said survives a kill


async def _call(audit: AuditLog, process: str) -> None:
    number = f"{process}-{next(_NUMBERS)}"
    ref = await audit.begin("tool", rid=number, target={"tool": "shell"})
    _say("call", number)
    await asyncio.sleep(0)
    await audit.end(ref, "allow")
    _say("done", number)


async def _caller(audit: AuditLog, process: str) -> None:
    while True:
        await _call(audit, process)


async def _until_killed(audit: AuditLog, process: str, callers: int) -> None:
    await asyncio.gather(*(_caller(audit, process) for _ in range(callers)))


async def _with_a_full_disk(audit: AuditLog, process: str, file_bytes: int) -> None:
    """Work until the disk is full, with one call still open; then there is room again."""
    open_call = await audit.begin("chat", rid="open")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, hard))
    try:
        while True:
            await asyncio.gather(*(_call(audit, process) for _ in range(8)))
    except Problem as problem:
        _say("refused", problem.slug.slug)
    await audit.end(open_call, "allow")
    refused = 0
    for _ in range(20):
        try:
            await _call(audit, process)
        except Problem:
            refused += 1
    _say("refused-again", refused, audit.healthy)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    while not audit.healthy:  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0.05)
    await _call(audit, process)
    _say("works-again")


async def _main(folder: Path, process: str, callers: int, file_bytes: int | None) -> None:
    log = Log(bytes, time.time)
    async with open_audit(
        folder, identity=identity(process), signing_seed=b"\x05" * 32, wall=time.time, log=log
    ) as audit:
        if file_bytes is None:
            await _until_killed(audit, process, callers)
        else:
            await _with_a_full_disk(audit, process, file_bytes)


if __name__ == "__main__":
    asyncio.run(
        _main(
            Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else None
        )
    )
