"""Signing keys over the in-memory API server."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from bulkhead import names
from bulkhead.errors import AlreadyExists
from bulkhead_wire.keys import Jwks, SigningKey

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Engine

    from bulkhead.engine.keys import PublicKeys

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

WHERE = ("Secret", "bulkhead-system", names.signing_key("u-1"))


async def make(engine: Engine) -> PublicKeys:
    return await engine.parts.keys.make("acme", "u-1", requested="", now=engine.clock.now())


async def test_both_halves_are_kept_and_fit(engine: Engine) -> None:
    """The gateway verifies by one half what the issuer signs with the other."""
    public = await make(engine)
    data = engine.api.store.objects[WHERE]["data"]
    private = SigningKey.from_pem(base64.b64decode(data["private.pem"]))

    assert private.kid in Jwks.parse(public.jwks).keys
    assert "PRIVATE" not in public.jwks


async def test_a_key_is_never_overwritten(engine: Engine) -> None:
    """Every token in use would die; two leaders for a moment must agree on one key."""
    first = await make(engine)
    engine.api.refuse("create", "Secret", AlreadyExists, times=1)
    second = await make(engine)

    assert first == second


async def test_a_spoilt_key_is_there_but_unusable(engine: Engine) -> None:
    """It is not replaced behind a person's back; the gateway is withheld and status names the Secret."""
    await make(engine)
    engine.api.store.objects[WHERE]["data"]["jwks.json"] = base64.b64encode(b"{}").decode()
    found = await engine.parts.keys.find("u-1")

    assert found is not None
    assert found.jwks == ""


async def test_a_gateways_seed_is_made_once_with_the_key_and_stays_through_rotations(engine: Engine) -> None:
    """With another one the audit log would begin with a strange key, and every pseudonym would change."""
    first = await make(engine)
    again = await engine.parts.keys.find("u-1")
    assert again is not None
    turned, _ = await engine.parts.keys.turn(
        "acme", "u-1", again, requested="now", delivered=first.jwks, now=engine.clock.now()
    )

    assert first.gateway_seed is not None
    assert len(first.gateway_seed.reveal()) == 32
    assert turned.jwks != first.jwks
    assert [again.gateway_seed, turned.gateway_seed] == [first.gateway_seed] * 2
    assert repr(first.gateway_seed) == "***"


async def test_a_key_of_an_older_release_gets_its_seed(engine: Engine) -> None:
    """Else no workspace that was there before an upgrade would ever have a gateway again."""
    made = await make(engine)
    del engine.api.store.objects[WHERE]["data"]["gateway.seed"]
    old = await engine.parts.keys.find("u-1")
    assert old is not None
    turned, _ = await engine.parts.keys.turn(
        "acme", "u-1", old, requested="", delivered=made.jwks, now=engine.clock.now()
    )
    once_more = await engine.parts.keys.find("u-1")

    assert old.gateway_seed is None
    assert once_more is not None
    assert turned.gateway_seed is not None
    assert once_more.gateway_seed == turned.gateway_seed
    assert turned.jwks == made.jwks


@pytest.mark.parametrize("spoilt", ["", base64.b64encode(b"short").decode(), "no base64"])
async def test_a_spoilt_seed_is_not_replaced(engine: Engine, spoilt: str) -> None:
    """A person must decide whether the audit log may go on with another key; the gateway waits."""
    made = await make(engine)
    engine.api.store.objects[WHERE]["data"]["gateway.seed"] = spoilt
    found = await engine.parts.keys.find("u-1")
    assert found is not None
    writes = engine.api.writes
    turned, _ = await engine.parts.keys.turn(
        "acme", "u-1", found, requested="now", delivered=made.jwks, now=engine.clock.now()
    )

    assert turned.gateway_seed is None
    assert engine.api.writes == writes


async def test_the_key_cannot_outlive_its_workspace(engine: Engine) -> None:
    """Even if the finalizer is taken off by hand, the garbage collector removes it."""
    await make(engine)
    [owner] = engine.api.store.objects[WHERE]["metadata"]["ownerReferences"]

    assert (owner["kind"], owner["name"], owner["uid"]) == ("TenantWorkspace", "acme", "u-1")
