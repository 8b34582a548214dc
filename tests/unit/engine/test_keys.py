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


async def test_the_key_cannot_outlive_its_workspace(engine: Engine) -> None:
    """Even if the finalizer is taken off by hand, the garbage collector removes it."""
    await make(engine)
    [owner] = engine.api.store.objects[WHERE]["metadata"]["ownerReferences"]

    assert (owner["kind"], owner["name"], owner["uid"]) == ("TenantWorkspace", "acme", "u-1")
