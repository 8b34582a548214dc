"""What the gateway costs: the same calls to the bare stand-in model and through the gateway, in one run.

The gateway has a core of its own; load and stand-in share the others. Load is open: a call is sent when it is
due, not when the one before has come back, and its time counts from when it was due. Everything is on: TLS
apart, the gateway runs as in its pod, with its audit log and its state on this machine's disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from figures import Figure, percentile, write
from litellm_proxy import litellm
from processes import cpu_seconds, free_port, rss_mib, started

from bulkhead_wire.gateway_keys import derive
from bulkhead_wire.keys import SigningKey, jwks_json
from bulkhead_wire.token import audience, new_claims, sign
from model_standin import NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

UID = "3f0c2b7e-52f1-4f6e-9a3c-0d6f5f1f7b10"
SEED = b"\x07" * 32
USERS = 50
RATES = (50, 200, 500)
ROOMY = {
    "requests_per_minute": 10**7,
    "tokens_per_minute": 10**10,
    "tokens_per_day": 10**12,
    "concurrent": 10**5,
}
QUESTION = "What does it cost to send a question of this length through a gateway? " * 4


@dataclass(frozen=True)
class Target:
    """Where the calls go, as whom, and whose CPU time and memory they cost."""

    name: str
    url: str
    model: str
    keys: tuple[str, ...]
    pid: int


@dataclass(frozen=True)
class Load:
    """What came of one load on one target."""

    seconds: list[float]
    failed: int
    cpu_micros: float  # of the target, a call
    rss_mib: float


def body(model: str, *, streams: bool) -> bytes:
    question = [{"role": "user", "content": QUESTION}]
    return json.dumps({"model": model, "messages": question, "max_tokens": 64, "stream": streams}).encode()


async def put_on(target: Target, rate: int, seconds: float, *, streams: bool) -> Load:
    """`rate` calls a second."""
    data = body(target.model, streams=streams)
    times: list[float] = []
    failures: list[Any] = []
    loop = asyncio.get_running_loop()

    async def call(session: aiohttp.ClientSession, number: int, due: float) -> None:
        headers = {
            "Authorization": f"Bearer {target.keys[number % len(target.keys)]}",
            "Content-Type": "application/json",
        }
        try:
            async with session.post(f"{target.url}/chat/completions", data=data, headers=headers) as response:
                answer = await response.read()
                if response.status != 200 or (streams and not answer.rstrip().endswith(b"[DONE]")):
                    failures.append((response.status, answer[:200]))
        except (aiohttp.ClientError, TimeoutError) as error:
            failures.append(error)
        times.append(loop.time() - due)

    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        cpu_before = cpu_seconds(target.pid)
        begin = loop.time()
        async with asyncio.TaskGroup() as tasks:
            for number in range(int(rate * seconds)):
                due = begin + number / rate
                await asyncio.sleep(max(0.0, due - loop.time()))
                tasks.create_task(call(session, number, due))
        cpu = cpu_seconds(target.pid) - cpu_before
    if failures:
        print(f"{target.name}: {len(failures)} failed, the first: {failures[0]}", file=sys.stderr)
    return Load(times, len(failures), 1e6 * cpu / len(times), rss_mib(target.pid))


def report(name: str, load: Load, bare: Load | None, bare_name: str) -> None:
    """Absolute figures, and what was added to those of the bare stand-in."""
    count = len(load.seconds)
    for percent in (50, 95, 99):
        value = 1000 * percentile(load.seconds, percent)
        write(Figure(f"{name}.p{percent}", value, "ms", count))
        if bare is not None:
            added = value - 1000 * percentile(bare.seconds, percent)
            write(Figure(f"{name}.added_p{percent}", added, "ms", count, ratio_to=bare_name))
    write(Figure(f"{name}.cpu", load.cpu_micros, "us/call", count))
    write(Figure(f"{name}.rss", load.rss_mib, "MiB", count))
    write(Figure(f"{name}.failed", load.failed, "calls", count))


@contextmanager
def gateway(folder: Path, model_url: str, core: int) -> Iterator[Target]:
    """The role as its pod runs it, but for TLS."""
    signing = SigningKey.from_seed(SEED)
    keys = derive(SEED, UID)
    (folder / "keys").mkdir()
    for name, key in (("cache-salt", keys.cache_salt), ("tag", keys.tag), ("gateway", keys.signing)):
        (folder / "keys" / f"{name}.key").write_bytes(key)
    (folder / "jwks.json").write_text(jwks_json([signing]))
    (folder / "epoch").write_text("0")
    (folder / "model-key").write_text("sk-bench-0123456789abcdefghijklmnop")
    ports = [free_port() for _ in range(4)]
    config = {
        "workspace": "bench",
        "workspace_uid": UID,
        "audience": audience(UID),
        "issuer": "bulkhead",
        "listen": ports[0],
        "operator_listen": ports[1],
        "health_listen": ports[2],
        "guard_listen": ports[3],
        "canary": "localhost:9",
        "jwks_file": str(folder / "jwks.json"),
        "epoch_file": str(folder / "epoch"),
        "keys_folder": str(folder / "keys"),
        "data_folder": str(folder / "data"),
        "limits": {"per_user": ROOMY, "tenant": ROOMY},
        "memory": {"session_ttl_seconds": 3600},
        "models": [
            {
                "name": "default",
                "url": model_url,
                "upstream_name": NAME,
                "context_tokens": 8192,
                "max_output_tokens": 1024,
                "embeddings": False,
                "cache_salt": True,
                "key_file": str(folder / "model-key"),
            }
        ],
        "tools": [],
    }
    tokens = tuple(
        sign(
            new_claims(
                workspace_uid=UID,
                tenant_id="bench",
                subject=f"user-{number}",
                scopes=("chat",),
                epoch=0,
                now=time.time(),
                ttl_seconds=600,
                session_id=os.urandom(16),
                token_id=os.urandom(16),
            ),
            signing,
        )
        for number in range(USERS)
    )
    command = [sys.executable, "-m", "bulkhead_sandbox", "gateway"]
    environment = {"BULKHEAD_CONFIG": json.dumps(config)}
    log = folder / "gateway.log"
    with started(command, ports[0], cores={core}, log=log, environment=environment) as pid:
        yield Target("gateway", f"http://127.0.0.1:{ports[0]}/v1", "default", tokens, pid)


@contextmanager
def stand_in(folder: Path, cores: set[int]) -> Iterator[Target]:
    """The bare model server."""
    port = free_port()
    command = [sys.executable, "-m", "model_standin", f"127.0.0.1:{port}"]
    with started(command, port, cores=cores, log=folder / "stand-in.log") as pid:
        yield Target("bare", f"http://127.0.0.1:{port}/v1", NAME, ("none",), pid)


async def measure(targets: list[Target], seconds: float) -> None:
    """Each load on each target, the bare one first, so that what is compared was measured within a minute."""
    for target in targets:  # connections, imports, caches
        await put_on(target, 20, 2, streams=False)
    for streams in (False, True):
        for rate in RATES if not streams else RATES[:2]:
            bare: Load | None = None
            for target in targets:
                load = await put_on(target, rate, seconds, streams=streams)
                kind = "stream" if streams else "chat"
                name = f"gateway_bench.{target.name}.{kind}_{rate}"
                report(name, load, bare, f"gateway_bench.bare.{kind}_{rate}")
                bare = bare or load


def main() -> None:
    parser = argparse.ArgumentParser(description="What the gateway adds to a model's answers.")
    parser.add_argument("--seconds", type=float, default=20, help="how long each load lasts")
    parser.add_argument(
        "--litellm", type=Path, help="Python of a virtual environment with LiteLLM's proxy in it"
    )
    options = parser.parse_args()
    core, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, others or [core])
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        bare = stack.enter_context(stand_in(folder, set(others or [core])))
        targets = [bare, stack.enter_context(gateway(folder, bare.url, core))]
        if options.litellm is not None:
            url, key, pid = stack.enter_context(litellm(options.litellm, folder, bare.url, {core}))
            targets.append(Target("litellm", url, "default", (key,), pid))
        asyncio.run(measure(targets, options.seconds))


if __name__ == "__main__":
    main()
