"""A gateway that ends: told to, or killed. What got in is answered or on record."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import aiohttp
from support.gateway_config import gateway_config
from support.roles import Role, free_port, running
from support.whole_gateway import HOST, ROOMY, model_at, seed_of, token_for

from bulkhead_wire.audit_chain import verify
from bulkhead_wire.gateway_keys import derive
from bulkhead_wire.keys import SigningKey, jwks_json
from model_standin import StandIn, serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from model_standin.server import Asked

UID = "acme-uid"


class Reached:
    """Which requests reached the model; `enough` is set with the last of `count`."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.ids: set[str] = set()
        self.enough = asyncio.Event()

    def __call__(self, asked: Asked) -> None:
        self.ids.add(asked.headers["x-request-id"])
        if len(self.ids) >= self._count:
            self.enough.set()


@asynccontextmanager
async def process(folder: Path, model: Any) -> AsyncIterator[tuple[Role, str, str]]:
    """The gateway's role, its URL and that of its health port."""
    keys = derive(seed_of(UID), UID)
    (folder / "jwks.json").write_text(jwks_json([SigningKey.from_seed(seed_of(UID))]))
    (folder / "epoch").write_text("0")
    (folder / "keys").mkdir()
    for name, key in (("cache-salt", keys.cache_salt), ("tag", keys.tag), ("gateway", keys.signing)):
        (folder / "keys" / f"{name}.key").write_bytes(key)
    port, health = free_port(), free_port()
    config = gateway_config(
        folder, workspace_uid=UID, listen=port, health_listen=health, limits=ROOMY, models=(model,)
    )
    async with running("gateway", config=asdict(config)) as role:
        await role.until("gateway.started")
        yield role, f"http://{HOST}:{port}", f"http://{HOST}:{health}"


async def ask(http: aiohttp.ClientSession, url: str, token: str) -> tuple[int, str]:
    """Status and request id of one question."""
    body = {"model": "default", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": f"Bearer {token}"}
    async with http.post(f"{url}/v1/chat/completions", json=body, headers=headers) as response:
        await response.read()
        return response.status, response.headers["X-Request-Id"]


def records(folder: Path) -> list[bytes]:
    files = sorted((folder / "data" / "audit").glob("*.jsonl"))
    assert files
    return [line for file in files for line in file.read_bytes().splitlines(keepends=True)]


async def test_gateway_that_is_told_to_end_answers_all_that_got_in(tmp_path: Path) -> None:
    """Each rolling update would cost some users their answer."""
    reached = Reached(8)
    async with (
        serving(HOST, 0, StandIn(), asked=reached) as model,
        process(tmp_path, model_at(model, ":slow")) as (role, url, health),
        aiohttp.ClientSession() as http,
    ):
        token = token_for(UID, "alice", "chat")
        calls = [asyncio.create_task(ask(http, url, token)) for _ in range(8)]
        await reached.enough.wait()
        role.process.send_signal(signal.SIGTERM)
        await role.until("gateway.draining")
        async with http.get(f"{health}/readyz") as ready:
            assert (ready.status, await ready.json()) == (503, {"failing": ["draining"]})
        async with http.get(f"{url}/v1/openapi.json") as late:
            assert (late.status, late.headers["Connection"]) == (200, "close")

        assert [status for status, _ in await asyncio.gather(*calls)] == [200] * 8
        assert await role.process.wait() == 0

    lines = records(tmp_path)
    report = verify(lines)
    assert report.open_calls == 0
    assert report.seq - report.signed_seq <= 1, "the last checkpoint signs all before it"
    assert [json.loads(line)["ev"] for line in lines[-2:]] == ["drain", "checkpoint"]


async def test_gateway_that_is_killed_has_all_that_it_sent_on_record(tmp_path: Path) -> None:
    """A crash at the right moment would be a way to ask unseen."""
    reached = Reached(200)
    async with (
        serving(HOST, 0, StandIn(), asked=reached) as port,
        process(tmp_path, model_at(port)) as (role, url, _),
        aiohttp.ClientSession() as http,
    ):
        token = token_for(UID, "alice", "chat")

        async def keep_asking() -> None:
            while True:
                try:
                    await ask(http, url, token)
                except aiohttp.ClientError:
                    return

        clients = [asyncio.create_task(keep_asking()) for _ in range(16)]
        await reached.enough.wait()
        os.kill(role.process.pid, signal.SIGKILL)
        await asyncio.gather(*clients)

    begun = {
        record["rid"]
        for record in map(json.loads, records(tmp_path))
        if record["ev"] == "chat" and record["phase"] == "begin"
    }
    assert len(reached.ids) >= 200
    assert reached.ids <= begun


async def test_header_that_is_too_long_leaves_no_token_in_the_log(tmp_path: Path) -> None:
    """A log line with a token in it is a token for whoever reads logs."""
    secret = "planted-" + "x" * 9000
    async with (
        process(tmp_path, model_at(1)) as (role, url, _),
        aiohttp.ClientSession() as http,
    ):
        async with http.get(f"{url}/v1/session", headers={"Authorization": f"Bearer {secret}"}) as answer:
            assert answer.status == 400
        role.process.send_signal(signal.SIGTERM)
        output, errors = await role.process.communicate()

    assert b"planted" not in output + errors
    assert b"gateway.stopped" in output
