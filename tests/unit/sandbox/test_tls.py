from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import aiohttp
import pytest
import trustme
from aiohttp import web

from bulkhead_sandbox.config import ConfigError
from bulkhead_sandbox.gateway.tls import ServerTls
from bulkhead_sandbox.logs import Log
from bulkhead_sandbox.serve import listening

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import FakeClock

NAME = "localhost"


def mount(folder: Path, authority: trustme.CA, *, key: trustme.CA | None = None) -> None:
    """A certificate of `authority`; with the key of another one if `key` says so."""
    folder.mkdir(exist_ok=True)
    issued = authority.issue_cert(NAME)
    issued.cert_chain_pems[0].write_to_path(str(folder / "tls.crt"))
    (key.issue_cert(NAME) if key else issued).private_key_pem.write_to_path(str(folder / "tls.key"))


def trusting(*authorities: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    for authority in authorities:
        authority.configure_trust(context)
    return context


async def answers(port: int, context: ssl.SSLContext) -> bool:
    """Whether a client that trusts just that gets an answer."""
    async with aiohttp.ClientSession() as http:
        try:
            async with http.get(f"https://{NAME}:{port}/", ssl=context) as response:
                return response.status == 200
        except aiohttp.ClientConnectorCertificateError:
            return False


def app() -> web.Application:
    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    made = web.Application()
    made.router.add_get("/", hello)
    return made


async def test_new_certificate_is_used_and_old_connections_go_on(tmp_path: Path, clock: FakeClock) -> None:
    """Rotation would need a restart, or drop what is under way."""
    old, new = trustme.CA(), trustme.CA()
    mount(tmp_path, old)
    tls = ServerTls(str(tmp_path), clock, Log(bytes, clock))
    async with (
        listening((app(), 0, tls.context), host=NAME, drain_seconds=0) as (port,),
        aiohttp.ClientSession() as kept,
    ):
        url, trusts_old = f"https://{NAME}:{port}/", trusting(old)
        async with kept.get(url, ssl=trusts_old) as response:
            assert await response.text() == "hello"

        mount(tmp_path, new)
        clock.now += 1
        tls.refresh()

        assert await answers(port, trusting(new))
        assert not await answers(port, trusts_old)
        async with kept.get(url, ssl=trusts_old) as response:  # the connection that was open before
            assert await response.text() == "hello"


async def test_certificate_without_its_key_changes_nothing(tmp_path: Path, clock: FakeClock) -> None:
    """A broken pair would leave the gateway with none at all."""
    old = trustme.CA()
    mount(tmp_path, old)
    tls = ServerTls(str(tmp_path), clock, Log(bytes, clock))
    async with listening((app(), 0, tls.context), host=NAME, drain_seconds=0) as (port,):
        mount(tmp_path, trustme.CA(), key=trustme.CA())
        clock.now += 1
        tls.refresh()
        assert await answers(port, trusting(old))

        new = trustme.CA()
        mount(tmp_path, new)
        clock.now += 1
        tls.refresh()
        assert await answers(port, trusting(new)), "it is tried again"


def test_gateway_without_certificate_does_not_start(tmp_path: Path, clock: FakeClock) -> None:
    """It would serve in the clear what it was told to encrypt."""
    with pytest.raises(ConfigError, match="tls_folder"):
        ServerTls(str(tmp_path), clock, Log(bytes, clock))
