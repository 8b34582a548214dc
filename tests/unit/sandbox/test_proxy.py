from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import pytest
import trustme
from prometheus_client import CollectorRegistry

from bulkhead_sandbox.config import EgressConfig, EgressListener, EgressRuleConfig
from bulkhead_sandbox.egress import Judge, proxies
from bulkhead_sandbox.egress.proxy import Limits
from bulkhead_sandbox.logs import Log

from .conftest import HOST, NOW

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from bulkhead_sandbox.egress.target import Address

LOOPBACK = ipaddress.ip_address(HOST)
PRIVATE = ipaddress.ip_address("10.1.2.3")
NAME = "api.example.com"
OTHER = "other.example.com"


@pytest.fixture(scope="module")
def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts for a server with both names and for a client that trusts it."""
    authority = trustme.CA()
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(NAME, OTHER).configure_cert(server)
    authority.configure_trust(client)
    return server, client


class Names:
    """A resolver that answers from a list, one answer after the other, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[Address, ...]] = [(LOOPBACK,)]
        self.asked: list[str] = []

    async def __call__(self, host: str) -> tuple[Address, ...]:
        self.asked.append(host)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@dataclass
class Tunnel:
    """A client's connection to the proxy, after the status line."""

    status: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def problem(self) -> dict[str, Any]:
        """The body of a refusal, after which the proxy closes."""
        body: dict[str, Any] = orjson.loads((await self.reader.read()).split(b"\r\n\r\n", 1)[1])
        return body


@dataclass
class Out:
    """The proxy, an internet of two servers, and what the proxy said of each connection."""

    listed: int  # the listener with a list
    unlisted: int  # another client's, with an empty one
    tls_port: int
    plain_port: int
    names: Names
    lines: list[dict[str, Any]]
    client_tls: ssl.SSLContext

    @asynccontextmanager
    async def ask(self, line: str, port: int | None = None) -> AsyncIterator[Tunnel]:
        """Send a request's head and read the status."""
        reader, writer = await asyncio.open_connection(HOST, port or self.listed)
        try:
            writer.write(f"{line}\r\nHost: x\r\n\r\n".encode())
            status = await reader.readuntil(b"\r\n")
            yield Tunnel(int(status.split()[1]), reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    @asynccontextmanager
    async def connect(self, target: str, port: int | None = None) -> AsyncIterator[Tunnel]:
        """CONNECT, with the whole head of an agreeing answer read."""
        async with self.ask(f"CONNECT {target} HTTP/1.1", port) as tunnel:
            if tunnel.status == 200:
                await tunnel.reader.readuntil(b"\r\n")
            yield tunnel

    async def hello(self, tunnel: Tunnel, server_name: str | None) -> bytes:
        """TLS through the tunnel, a line there and back."""
        client = self.client_tls
        if server_name is None:
            client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
        await tunnel.writer.start_tls(client, server_hostname=server_name)
        tunnel.writer.write(b"hello\n")
        return await tunnel.reader.readline()

    @property
    def reasons(self) -> list[str]:
        return [line["reason"] for line in self.lines]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give back what comes until it ends."""
    with contextlib.suppress(OSError, ssl.SSLError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


@asynccontextmanager
async def way_out(
    certificates: tuple[ssl.SSLContext, ssl.SSLContext],
    denied: tuple[str, ...] = ("10.0.0.0/8",),
    limits: Limits | None = None,
) -> AsyncIterator[Out]:
    """Loopback plays the internet, so it is not among the denied ranges here."""
    names, lines = Names(), list[dict[str, Any]]()
    server_tls, client_tls = certificates
    log = Log(lambda line: lines.append(orjson.loads(line)), lambda: NOW)
    async with (
        await asyncio.start_server(echo, HOST, 0, ssl=server_tls) as tls,
        await asyncio.start_server(echo, HOST, 0) as plain,
    ):
        tls_port, plain_port = (server.sockets[0].getsockname()[1] for server in (tls, plain))
        rules = (
            EgressRuleConfig(host=NAME, ports=(tls_port, plain_port)),
            EgressRuleConfig(cidr="127.0.0.0/8", ports=(plain_port,)),
            EgressRuleConfig(cidr="10.0.0.0/8", ports=(plain_port,)),
        )
        config = EgressConfig(
            workspace="acme",
            workspace_uid="u",
            health_listen=0,
            denied_cidrs=denied,
            listeners=(
                EgressListener(port=0, client="runtime", rules=rules),
                EgressListener(port=0, client="tool-search", rules=()),
            ),
        )
        async with proxies(
            config,
            Judge(CollectorRegistry(), log),
            resolver=names,
            limits=limits or Limits(),
            host=HOST,
            drain_seconds=0.05,
        ) as (listed, unlisted):
            yield Out(listed, unlisted, tls_port, plain_port, names, lines, client_tls)


@pytest.fixture
async def out(certificates: tuple[ssl.SSLContext, ssl.SSLContext]) -> AsyncIterator[Out]:
    async with way_out(certificates) as made:
        yield made


async def test_listed_host_is_reached_with_its_own_certificate(out: Out) -> None:
    """The main job; and nobody sits in the middle: the client checks the server's own certificate."""
    async with out.connect(f"{NAME}:{out.tls_port}") as tunnel:
        assert tunnel.status == 200
        assert await out.hello(tunnel, NAME) == b"hello\n"
    assert out.reasons == ["allowed"]
    assert out.lines[0] == {
        "ts": "2027-01-15T08:00:00.000Z",
        "level": "info",
        "event": "egress.judged",
        "client": "runtime",
        "reason": "allowed",
        "host": NAME,
        "port": out.tls_port,
    }


REFUSED: dict[str, tuple[Callable[[Out], str], int, str]] = {
    "not listed": (lambda out: f"CONNECT {OTHER}:{out.tls_port} HTTP/1.1", 403, "not-listed"),
    "another port": (lambda _: f"CONNECT {NAME}:22 HTTP/1.1", 403, "not-listed"),
    "address of a listed host": (lambda out: f"CONNECT {HOST}:{out.tls_port} HTTP/1.1", 403, "not-listed"),
    "listed but denied range": (
        lambda out: f"CONNECT 10.1.2.3:{out.plain_port} HTTP/1.1",
        403,
        "denied-range",
    ),
    "NUL in the name": (lambda _: f"CONNECT evil.example\0.{NAME}:443 HTTP/1.1", 400, "malformed"),
    "percent in the name": (lambda _: f"CONNECT evil%2e{NAME}:443 HTTP/1.1", 403, "bad-target"),
    "address in disguise": (lambda _: "CONNECT 0x7f000001:443 HTTP/1.1", 403, "bad-target"),
    "plain request": (lambda _: f"GET http://{NAME}/ HTTP/1.1", 405, "not-connect"),
    "request to the proxy": (lambda _: "GET / HTTP/1.1", 405, "not-connect"),
    "not http": (lambda _: "hello", 400, "malformed"),
    "head beyond 8 KiB": (lambda _: f"CONNECT {NAME}:443 HTTP/1.1\r\nX: {'x' * 9000}", 400, "malformed"),
}


@pytest.mark.parametrize(("line", "status", "reason"), REFUSED.values(), ids=REFUSED.keys())
async def test_everything_else_is_refused(
    out: Out, line: Callable[[Out], str], status: int, reason: str
) -> None:
    """A way out that nobody opened."""
    async with out.ask(line(out)) as tunnel:
        assert tunnel.status == status
        body = await tunnel.problem()
    assert out.reasons == [reason]
    assert out.names.asked == [], "what is refused is not even looked up"
    assert body.get("policy") == ("final" if status == 403 else None)


async def test_each_client_has_its_own_list(out: Out) -> None:
    """A tool could use what was opened for the runtime."""
    async with out.connect(f"{NAME}:{out.tls_port}", out.unlisted) as tunnel:
        assert tunnel.status == 403
    assert (out.lines[0]["client"], out.lines[0]["reason"]) == ("tool-search", "not-listed")


ANSWERS: dict[str, tuple[Address, ...]] = {
    "private": (PRIVATE,),
    "one of two private": (LOOPBACK, PRIVATE),
    "mapped": (ipaddress.ip_address("::ffff:10.1.2.3"),),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
async def test_listed_name_that_points_inside_is_refused(out: Out, answer: tuple[Address, ...]) -> None:
    """Whoever holds the name's DNS would reach the cluster."""
    out.names.answers = [answer]
    async with out.connect(f"{NAME}:{out.tls_port}") as tunnel:
        assert tunnel.status == 403
    assert out.reasons == ["denied-range"]


async def test_address_that_was_judged_is_the_one_that_is_dialled(out: Out) -> None:
    """DNS rebinding: a public address for the check, a private one for the connection."""
    out.names.answers = [(LOOPBACK,), (PRIVATE,)]
    async with out.connect(f"{NAME}:{out.tls_port}") as tunnel:
        assert await out.hello(tunnel, NAME) == b"hello\n"
    assert out.names.asked == [NAME]


async def test_next_address_is_tried_when_one_does_not_answer(out: Out) -> None:
    """A dead IPv6 address would take a good IPv4 one with it."""
    out.names.answers = [(ipaddress.ip_address("127.9.9.9"), LOOPBACK)]
    async with out.connect(f"{NAME}:{out.tls_port}") as tunnel:
        assert await out.hello(tunnel, NAME) == b"hello\n"


@pytest.mark.parametrize(
    ("server_name", "reason"), [(OTHER, "name-differs"), (None, "name-missing")], ids=["other", "none"]
)
async def test_tls_name_must_be_the_one_asked_for(out: Out, server_name: str | None, reason: str) -> None:
    """Behind one address of a large host are a million others: domain fronting."""
    async with out.connect(f"{NAME}:{out.tls_port}") as tunnel:
        with pytest.raises(ssl.SSLError, match=r"(?i)access.denied"):
            await out.hello(tunnel, server_name)
    assert out.reasons == [reason]


async def test_tunnel_to_a_host_carries_tls_only(out: Out) -> None:
    """In clear there is no name to check, and any protocol could be spoken."""
    async with out.connect(f"{NAME}:{out.plain_port}") as tunnel:
        tunnel.writer.write(b"GET / HTTP/1.1\r\nHost: other.example.com\r\n\r\n")
        assert await tunnel.reader.read() == bytes((21, 3, 3, 0, 2, 2, 49))
    assert out.reasons == ["not-tls"]


async def test_a_name_that_is_hidden_is_not_taken_on_trust(out: Out) -> None:
    """Encrypted Client Hello: the name in clear is a front, the one that counts is inside."""
    front = NAME.encode()
    names = (len(front) + 3).to_bytes(2, "big") + b"\0" + len(front).to_bytes(2, "big") + front
    extensions = b"".join(
        kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body
        for kind, body in ((0, names), (0xFE0D, b"x"))
    )
    inner = (
        b"\x03\x03" + bytes(32) + b"\0\0\x02\x13\x01\x01\0" + len(extensions).to_bytes(2, "big") + extensions
    )
    message = b"\x01" + len(inner).to_bytes(3, "big") + inner
    async with out.connect(f"{NAME}:{out.plain_port}") as tunnel:
        tunnel.writer.write(b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message)
        assert await tunnel.reader.read() == bytes((21, 3, 3, 0, 2, 2, 49))
    assert out.reasons == ["name-hidden"]


async def test_listed_range_may_speak_anything(out: Out) -> None:
    """Databases by address would not be reachable."""
    async with out.connect(f"{HOST}:{out.plain_port}") as tunnel:
        tunnel.writer.write(b"SELECT 1;")
        assert await tunnel.reader.readexactly(9) == b"SELECT 1;"


async def test_first_bytes_may_come_with_the_request(out: Out) -> None:
    """Clients in a hurry would lose their first bytes."""
    async with out.ask(f"CONNECT {HOST}:{out.plain_port} HTTP/1.1\r\nHost: x\r\n\r\nearly") as tunnel:
        await tunnel.reader.readuntil(b"\r\n")
        assert await tunnel.reader.readexactly(5) == b"early"


async def test_much_data_passes_both_ways_and_the_end_of_one_side_is_passed_on(out: Out) -> None:
    """A lost byte, a dead lock between the two directions, or an upload whose answer never comes."""
    data = bytes(range(256)) * 8192
    async with out.connect(f"{HOST}:{out.plain_port}") as tunnel:

        async def send() -> None:
            tunnel.writer.write(data)
            await tunnel.writer.drain()
            tunnel.writer.write_eof()

        _, received = await asyncio.gather(send(), tunnel.reader.read(-1))
    assert received == data


async def test_unknown_name_and_closed_port_are_upstream_errors(out: Out) -> None:
    """A typing error would look like policy, and the caller would stop trying for good."""
    out.names.answers = [()]
    async with out.connect(f"{NAME}:{out.tls_port}") as tunnel:
        assert tunnel.status == 502
    out.names.answers = [(ipaddress.ip_address("127.9.9.9"),)]
    async with out.connect(f"{NAME}:{out.tls_port}") as tunnel:
        assert tunnel.status == 502
    assert out.reasons == ["unresolved", "unreachable"]


async def test_one_client_has_so_many_tunnels_and_no_more(
    certificates: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """One client would take the proxy's memory and files from all others."""
    async with way_out(certificates, limits=Limits(tunnels=1, connections=2)) as out:
        target = f"{HOST}:{out.plain_port}"
        async with out.connect(target) as first:
            assert first.status == 200
            async with out.connect(target) as second:
                assert second.status == 429
            _, silent = await asyncio.open_connection(HOST, out.listed)
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                async with out.connect(target):
                    pass
            silent.close()
            await silent.wait_closed()
            first.writer.write(b"x")
            assert await first.reader.readexactly(1) == b"x"
    assert sorted({*out.reasons} - {"gone"}) == ["allowed", "too-many"]


async def test_silent_tunnel_is_closed(certificates: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    """Forgotten connections would fill the limit."""
    async with (
        way_out(certificates, limits=Limits(idle_seconds=0.05)) as out,
        out.connect(f"{HOST}:{out.plain_port}") as tunnel,
    ):
        assert await tunnel.reader.read() == b""


async def test_client_that_says_nothing_is_let_go(
    certificates: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    """As above, before there is a tunnel, and once there is one."""
    async with way_out(certificates, limits=Limits(head_seconds=0.05)) as out:
        reader, writer = await asyncio.open_connection(HOST, out.listed)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        async with out.connect(f"{NAME}:{out.tls_port}") as tunnel:
            assert await tunnel.reader.read() == bytes((21, 3, 3, 0, 2, 2, 49))
    assert out.reasons == ["gone", "gone"]


async def test_tunnels_are_cut_when_draining_ends(out: Out) -> None:
    """A pod could not end; the fixture's end would hang here."""
    reader, writer = await asyncio.open_connection(HOST, out.listed)
    writer.write(f"CONNECT {HOST}:{out.plain_port} HTTP/1.1\r\n\r\n".encode())
    await reader.readuntil(b"\r\n\r\n")
    writer.close()
