"""The operator's own door: one question, one token for that workspace alone, one answer or none."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from support.clocks import LoopClock

from bulkhead import names
from bulkhead.engine.door import GatewayDoor
from bulkhead.errors import Unavailable
from bulkhead_wire.gateway_keys import derive
from bulkhead_wire.keys import Jwks, SigningKey, jwks_json
from bulkhead_wire.operator_token import verify_operator_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from bulkhead.kube.client import KubeClient

pytestmark = pytest.mark.asyncio
UID = "5f0c3f5e-0000-4000-8000-000000000001"
SEED = b"\x09" * 32
OLD, NEW = (SigningKey.from_seed(bytes([number]) * 32) for number in (1, 2))


@dataclass
class Secrets:
    """The one Secret that a door reads."""

    key: SigningKey | None = OLD
    fails: bool = False
    reads: int = 0

    async def find(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        assert ("Secret", names.signing_key(UID), "bulkhead-system") == (kind, name, namespace)
        self.reads += 1
        if self.fails:
            raise Unavailable("get", kind, namespace, name, status=503, reason="Down", message="no etcd")
        if self.key is None:
            return None
        pem, seed = base64.b64encode(self.key.pem().encode()), base64.b64encode(SEED)
        return {"data": {"private.pem": pem.decode(), "gateway.seed": seed.decode()}}


@dataclass
class Gateway:
    """Lets in who holds a token by `key`; answers with `body`."""

    clock: LoopClock
    secrets: Secrets
    door: GatewayDoor
    key: SigningKey = OLD
    body: bytes = b'{"fine": true}'
    status: int = 200
    seen: list[tuple[str, str, bytes]] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.Response:
        self.seen.append((request.method, request.path_qs, await request.read()))
        token = request.headers["Authorization"].removeprefix("Bearer ")
        try:
            verify_operator_token(
                token, Jwks.parse(jwks_json([self.key])), UID, now=self.clock.now().timestamp()
            )
        except Exception:  # noqa: BLE001 - any refusal
            return web.Response(status=401)
        headers = {"Location": "http://127.0.0.1:1/"} if self.status == 302 else {}
        return web.Response(body=self.body, status=self.status, headers=headers)


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    clock, secrets = LoopClock(), Secrets()
    async with aiohttp.ClientSession() as session:
        door = GatewayDoor(session, cast("KubeClient", secrets), "bulkhead-system", clock=clock)
        made = Gateway(clock, secrets, door)
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", made.handle)
        async with TestServer(app, host="127.0.0.1") as server:
            monkeypatch.setattr(names, "GATEWAY_OPERATOR_PORT", server.port)
            yield made


async def test_a_question_is_answered(gateway: Gateway) -> None:
    """With a token that this workspace's gateway accepts; the key is read once."""
    replies = [
        await gateway.door.ask(UID, "127.0.0.1", "/internal/v1/x?y=1"),
        await gateway.door.ask(UID, "127.0.0.1", "/internal/v1/z", method="POST", body={"epoch": 3}),
    ]

    assert [(200, {"fine": True})] * 2 == [(each.status, each.json()) for each in replies if each]
    assert [("GET", "/internal/v1/x?y=1", b""), ("POST", "/internal/v1/z", b'{"epoch": 3}')] == gateway.seen
    assert 1 == gateway.secrets.reads


async def test_the_gateways_key_is_the_one_that_it_was_given(gateway: Gateway) -> None:
    """Not one that a gateway names: a log that was written anew would come with its own."""
    key = await gateway.door.gateway_key(UID)

    assert SigningKey.from_seed(derive(SEED, UID).signing).public == key


async def test_an_exchanged_key_is_read_anew(gateway: Gateway) -> None:
    """After an exchange the remembered key opens nothing any more."""
    await gateway.door.ask(UID, "127.0.0.1", "/")
    gateway.key = gateway.secrets.key = NEW
    reply = await gateway.door.ask(UID, "127.0.0.1", "/")

    assert (200, 2) == (reply.status if reply else None, gateway.secrets.reads)


async def test_a_refusal_is_not_asked_for_ever(gateway: Gateway) -> None:
    """The gateway's keys come by kubelet and may be late; the next look will do."""
    gateway.key = NEW
    replies = [await gateway.door.ask(UID, "127.0.0.1", "/") for _ in range(2)]

    assert [401, 401] == [each.status for each in replies if each]
    assert 2 == len(gateway.seen)


@pytest.mark.parametrize(
    ("key", "fails"), [(None, False), (OLD, True)], ids=["no key", "no answer of the API server"]
)
async def test_without_a_key_nothing_is_asked(gateway: Gateway, key: SigningKey | None, fails: bool) -> None:  # noqa: FBT001
    """A question without a token would only be counted as an attack."""
    gateway.secrets.key, gateway.secrets.fails = key, fails

    assert await gateway.door.ask(UID, "127.0.0.1", "/") is None
    assert [] == gateway.seen


async def test_an_endless_answer_is_none(gateway: Gateway) -> None:
    """A gateway is trusted code, but what answers at its address may be something else by now."""
    gateway.body = b"x" * 5000

    assert await gateway.door.ask(UID, "127.0.0.1", "/") is None
    assert await gateway.door.ask(UID, "127.0.0.1", "/", largest=5000) is not None


async def test_a_redirect_is_not_followed(gateway: Gateway) -> None:
    """The token must not travel elsewhere."""
    gateway.status = 302
    reply = await gateway.door.ask(UID, "127.0.0.1", "/")

    assert (302, 1) == (reply.status if reply else None, len(gateway.seen))


async def test_nobody_there_is_no_answer(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """Unreachable must not raise: the caller decides what it means."""
    monkeypatch.setattr(names, "GATEWAY_OPERATOR_PORT", unused_tcp_port)

    assert await gateway.door.ask(UID, "127.0.0.1", "/") is None
