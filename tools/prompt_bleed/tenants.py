"""Two gateways as they are shipped, many users of each, one model."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import aiohttp
from typing_extensions import override

from bulkhead_sandbox.config import GatewayConfig, LimitsConfig, MemoryConfig, ModelConfig, RateConfig
from bulkhead_sandbox.gateway.assembly import Outside, assembled
from bulkhead_sandbox.gateway.audit import Identity, open_audit
from bulkhead_sandbox.gateway.content import Kind, Tags
from bulkhead_sandbox.logs import Log
from bulkhead_sandbox.serve import listening
from bulkhead_wire.gateway_keys import derive
from bulkhead_wire.keys import SigningKey, jwks_json
from bulkhead_wire.token import audience, new_claims, sign
from model_standin import NAME, serving
from prompt_bleed.model import BleedingStandIn
from prompt_bleed.tally import Tally

__all__ = ["Run", "run"]

HOST = "127.0.0.1"
NOW = 1_800_000_000.0
TENANTS = {"acme": "3f0c2b7e-52f1-4f6e-9a3c-0d6f5f1f7b10", "globex": "b1b7e5a0-1f6e-4b57-8a35-5a0d7f6f2c11"}
_ANYTHING = RateConfig(
    requests_per_minute=2**40, tokens_per_minute=2**50, tokens_per_day=2**50, concurrent=2**20
)


@dataclass(frozen=True, slots=True)
class Run:
    """What clients saw, what gateways counted, what the model did."""

    tally: Tally
    events: dict[str, float]  # security events of both gateways, by kind
    did: dict[str, int]


@dataclass(frozen=True, slots=True)
class _User:
    url: str
    token: str
    word: str


class _WithoutCheck(Tags):
    """The broken twin: tags are written and never looked for."""

    @override
    def judge(self, digits: str, subject: str) -> Kind | None:
        return None


async def run(calls: int, *, users: int, at_once: int, checks: bool = True, seed: int = 7) -> Run:
    """`calls` of `users` users a tenant; `checks` off: gateways that do not look for canaries."""
    dice = random.Random(seed)  # noqa: S311 - a run is to be repeated
    model = BleedingStandIn(dice)
    tags = Tags if checks else _WithoutCheck
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(patch("bulkhead_sandbox.gateway.assembly.Tags", tags))
        port = await stack.enter_async_context(serving(HOST, 0, model))
        everybody: list[_User] = []
        registries = []
        for tenant, uid in TENANTS.items():
            (place := folder / tenant).mkdir()
            key = SigningKey.from_seed(dice.randbytes(32))
            (place / "jwks.json").write_text(jwks_json([key]))
            (place / "epoch").write_text("0")
            config = _config(place, tenant, uid, f"http://{HOST}:{port}/v1")
            log = Log(lambda _line: None, lambda: NOW)
            keys = derive(dice.randbytes(32), uid)
            audit = await stack.enter_async_context(
                open_audit(
                    place / "audit",
                    identity=Identity(workspace_uid=uid, tenant=tenant, process="one"),
                    signing_seed=keys.signing,
                    wall=lambda: NOW,
                    log=log,
                )
            )
            # Time stands still: tokens stay in force however long the run takes.
            outside = Outside(
                wall=lambda: NOW,
                monotonic=lambda: NOW,
                random_bytes=dice.randbytes,
                log=log,
                draining=lambda: False,
            )
            gateway = await stack.enter_async_context(assembled(config, keys, audit, outside))
            (at,) = await stack.enter_async_context(
                listening((gateway.surface, 0), host=HOST, drain_seconds=1)
            )
            registries.append(gateway.metrics.registry)
            everybody += [_user(f"http://{HOST}:{at}", uid, tenant, n, key, dice) for n in range(users)]
        tally = await _calls(everybody, calls, at_once, dice)
        events = {
            kind.value: sum(
                registry.get_sample_value("bulkhead_gw_security_events_total", {"kind": kind.value}) or 0
                for registry in registries
            )
            for kind in Kind
        }
    return Run(tally, events, dict(model.did))


async def _calls(everybody: list[_User], calls: int, at_once: int, dice: random.Random) -> Tally:
    tally = Tally()
    numbers = iter(range(calls))

    async def client(http: aiohttp.ClientSession) -> None:
        for number in numbers:
            user = dice.choice(everybody)
            request = {
                "model": "default",
                "stream": bool(number % 2),
                "messages": [
                    {"role": "system", "content": f"You work for {user.word}."},
                    {"role": "user", "content": f"Repeat: {user.word}, number {number}."},
                ],
            }
            headers = {"Authorization": f"Bearer {user.token}"}
            async with http.post(
                f"{user.url}/v1/chat/completions", json=request, headers=headers
            ) as response:
                tally.judge(response.status, await response.read(), user.word)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as http:
        await asyncio.gather(*(client(http) for _ in range(at_once)))
    return tally


def _user(url: str, uid: str, tenant: str, number: int, key: SigningKey, dice: random.Random) -> _User:
    # Names are the same in both workspaces: nothing may hang on a user's name alone.
    claims = new_claims(
        workspace_uid=uid,
        tenant_id=tenant,
        subject=f"user-{number}",
        scopes=("chat",),
        epoch=0,
        now=NOW,
        ttl_seconds=600,
        session_id=dice.randbytes(16),
        token_id=dice.randbytes(16),
    )
    return _User(url, sign(claims, key), f"word-{dice.randbytes(8).hex()}")


def _config(folder: Path, tenant: str, uid: str, url: str) -> GatewayConfig:
    return GatewayConfig(
        workspace=tenant,
        workspace_uid=uid,
        audience=audience(uid),
        issuer="bulkhead",
        listen=0,
        operator_listen=0,
        health_listen=0,
        guard_listen=0,
        canary="localhost:1",
        jwks_file=str(folder / "jwks.json"),
        epoch_file=str(folder / "epoch"),
        keys_folder=str(folder / "keys"),
        data_folder=str(folder),
        limits=LimitsConfig(per_user=_ANYTHING, tenant=_ANYTHING),
        memory=MemoryConfig(session_ttl_seconds=3600),
        models=(
            ModelConfig(
                name="default",
                url=url,
                upstream_name=NAME,
                context_tokens=8192,
                max_output_tokens=1024,
                embeddings=False,
                cache_salt=True,
            ),
        ),
        tools=(),
    )
