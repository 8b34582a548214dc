"""Cost of the audit log in a gateway: begin and end at a steady rate, next to the bare cost of one fdatasync.

`python bench/audit.py [FOLDER]`: the folder lies on the disk that is measured. No cluster is needed.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from figures import Figure, percentile, write

from bulkhead_sandbox.gateway.audit import AuditLog, Identity, content_mac, open_audit
from bulkhead_sandbox.logs import Log

RATES = (200, 1000)  # calls a second, two records each
SECONDS = 10
SYNCS = 500
RECORD_BYTES = 600


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def bare_syncs(folder: Path) -> None:
    """What the disk alone takes: one record appended and synced."""
    descriptor = os.open(folder / "bare", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    took = []
    for _ in range(SYNCS):
        started = time.perf_counter()
        os.write(descriptor, b"x" * RECORD_BYTES)
        os.fdatasync(descriptor)
        took.append((time.perf_counter() - started) * 1000)
    os.close(descriptor)
    for percent in (50, 95):
        write(Figure(f"audit.bare-sync.p{percent}", percentile(took, percent), "ms", SYNCS))


async def call(audit: AuditLog, mac: str, took: dict[str, list[float]]) -> None:
    who = {
        "sub": "user-17",
        "sid": "AAAAAAAAAAAAAAAAAAAAAA",
        "jti": "AQEBAQEBAQEBAQEBAQEBAQ",
        "scope": "chat",
    }
    started = time.perf_counter()
    ref = await audit.begin("chat", model="default", len={"in": 700}, mac={"in": mac}, rid="r" * 36, **who)
    begun = time.perf_counter()
    await audit.end(ref, "allow", usage={"in": 200, "out": 90}, len={"out": 400}, mac={"out": mac})
    took["begin"].append((begun - started) * 1000)
    took["end"].append((time.perf_counter() - begun) * 1000)


async def at_rate(audit: AuditLog, rate: int) -> None:
    mac = content_mac(bytes(32))(b"prompt")
    took: dict[str, list[float]] = {"begin": [], "end": []}
    cpu, first_seq = cpu_seconds(), audit.seq
    started = time.perf_counter()
    async with asyncio.TaskGroup() as calls:
        for number in range(rate * SECONDS):
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
            calls.create_task(call(audit, mac, took))
    await audit.head()
    count = rate * SECONDS
    for phase, values in took.items():
        for percent in (50, 95, 99):
            name = f"audit.{phase}.{rate}-per-s.p{percent}"
            write(
                Figure(name, percentile(values, percent), "ms", count, f"audit.bare-sync.p{min(percent, 95)}")
            )
    used = (cpu_seconds() - cpu) * 1e6 / count
    write(Figure(f"audit.cpu-per-call.{rate}-per-s", used, "us", count))
    write(Figure(f"audit.records.{rate}-per-s", audit.seq - first_seq, "records", count))


async def idle_loop(rate: int) -> None:
    """The same loop without a log: what of the CPU is the measurement's own."""

    async def nothing() -> None:
        """A call."""

    cpu = cpu_seconds()
    started = time.perf_counter()
    async with asyncio.TaskGroup() as calls:
        for number in range(rate * SECONDS):
            await asyncio.sleep(max(0.0, started + number / rate - time.perf_counter()))
            calls.create_task(nothing())
    used = (cpu_seconds() - cpu) * 1e6 / (rate * SECONDS)
    write(Figure(f"audit.cpu-of-the-measurement.{rate}-per-s", used, "us", rate * SECONDS))


async def main(folder: Path) -> None:
    identity = Identity(
        workspace_uid="3f0c2b7e-52f1-4f6e-9a3c-0d6f5f1f7b10", tenant="bench", process=f"bench.{os.getpid()}"
    )
    bare_syncs(folder)
    async with open_audit(
        folder / "audit",
        identity=identity,
        signing_seed=bytes(range(32)),
        wall=time.time,
        log=Log(bytes, time.time),
    ) as audit:
        for rate in RATES:
            await idle_loop(rate)
            await at_rate(audit, rate)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        asyncio.run(main(Path(name)))
