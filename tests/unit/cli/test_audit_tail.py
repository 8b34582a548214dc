"""`bulkhead audit tail`: every record once, as it stands in the file, read by a named auditor."""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from support.audit_logs import log_of

from bulkhead import names
from bulkhead_wire.token import ISSUER, Expected, Jwks, SigningKey, audience, jwks_json, verify

from .conftest import UID, WORKSPACES, workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .conftest import ApiServer, Bulkhead

KEY = SigningKey.from_seed(b"\x07" * 32)
LOG = log_of(600, every=50)
EXPECTED = Expected(issuer=ISSUER, audience=audience(UID), workspace_uid=UID, epoch=0)


@dataclass
class FakeGateway:
    """Gives pages as a gateway does; `refuses` makes it answer with these statuses first."""

    url: str
    tokens: list[str] = field(default_factory=list)
    refuses: list[int] = field(default_factory=list)

    def answer(self, target: str, token: str) -> tuple[int, bytes]:
        self.tokens.append(token)
        if self.refuses:
            return self.refuses.pop(0), json.dumps({"title": "The session token is not accepted"}).encode()
        query = parse_qs(urlsplit(target).query)
        after, limit = int(query.get("after_seq", ["-1"])[0]), int(query["limit"][0])
        return 200, b"".join(LOG[after + 1 : after + 1 + limit])


@pytest.fixture
def gateway(api: ApiServer) -> Iterator[FakeGateway]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = made.answer(self.path, self.headers["Authorization"].removeprefix("Bearer "))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name upstream
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = FakeGateway(f"http://127.0.0.1:{listener.server_address[1]}")
    api.objects[f"{WORKSPACES}/acme"] = workspace(status={"gateway": {"url": made.url}})
    secret = f"/api/v1/namespaces/bulkhead-system/secrets/{names.signing_key(UID)}"
    api.objects[secret] = {"data": {"private.pem": base64.b64encode(KEY.pem().encode()).decode()}}
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    listener.shutdown()
    thread.join()
    listener.server_close()


def test_every_record_comes_once_and_as_it_is(gateway: FakeGateway, bulkhead: Bulkhead) -> None:
    """What is printed is what `verify` reads: one byte more or less, and it is broken."""
    done = bulkhead("audit", "tail", "acme", "--user", "alice")

    assert (0, "") == (done.code, done.err)
    assert b"".join(LOG).decode() == done.out
    claims = verify(gateway.tokens[0], Jwks.parse(jwks_json([KEY])), EXPECTED, now=time.time())
    assert ("alice", ("audit:read",), "auditor") == (claims.subject, claims.scopes, claims.role)


@pytest.mark.usefixtures("gateway")
def test_reading_begins_where_it_is_told(bulkhead: Bulkhead) -> None:
    """Somebody who has the rest already asks for what is new."""
    done = bulkhead("audit", "tail", "acme", "--user", "alice", "--after", "1000")

    assert b"".join(LOG[1001:]).decode() == done.out


def test_a_token_that_ran_out_is_replaced(gateway: FakeGateway, bulkhead: Bulkhead) -> None:
    """A long log takes longer to read than a token lives."""
    gateway.refuses = [401]

    done = bulkhead("audit", "tail", "acme", "--user", "alice")

    assert b"".join(LOG).decode() == done.out
    assert 2 == len(set(gateway.tokens))


@pytest.mark.parametrize("refuses", [[401, 401], [403], [503]], ids=str)
def test_a_refusal_is_said_once(gateway: FakeGateway, bulkhead: Bulkhead, refuses: list[int]) -> None:
    """Without a bound, a refused reader would ask for ever."""
    gateway.refuses = list(refuses)

    done = bulkhead("audit", "tail", "acme", "--user", "alice")

    assert (2, "", len(refuses)) == (done.code, done.out, len(gateway.tokens))
    assert f"{refuses[-1]} The session token is not accepted" in done.err
    assert not any(token in done.err for token in gateway.tokens)


@pytest.mark.usefixtures("gateway")
def test_a_gateway_out_of_reach_is_no_answer(bulkhead: Bulkhead) -> None:
    """The usual first experience outside the cluster; the message says what to do."""
    done = bulkhead("audit", "tail", "acme", "--user", "alice", "--url", "http://127.0.0.1:1")

    assert (2, "") == (done.code, done.out)
    assert "gateway.clients" in done.err


def test_a_workspace_without_a_gateway_is_refused(api: ApiServer, bulkhead: Bulkhead) -> None:
    """It has no log yet."""
    api.objects[f"{WORKSPACES}/acme"] = workspace(status={"gateway": None})

    assert 1 == bulkhead("audit", "tail", "acme", "--user", "alice").code
    assert 1 == bulkhead("audit", "tail", "other", "--user", "alice").code
