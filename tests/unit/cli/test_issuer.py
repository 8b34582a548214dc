"""`bulkhead token --issuer`: asks over TLS, shows a token or a reason, and keeps the identity to itself."""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead.certificates import new_authority, new_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Bulkhead

ASK = ("token", "acme", "--user", "alice", "--scope", "session")


@dataclass
class Issuer:
    """Answers every POST with what a test puts there, and remembers what came."""

    arguments: tuple[str, ...]
    status: int = 201
    body: Any = field(default_factory=lambda: {"token": "a.b.c", "warnings": ["no tool x"]})
    seen: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)


@pytest.fixture
def issuer(tmp_path: Path) -> Iterator[Issuer]:
    now, day = datetime.now(UTC), timedelta(days=1)
    authority = new_authority("test", now=now, lifetime=day)
    server = new_server(authority, ["localhost"], now=now, lifetime=day)
    (tmp_path / "server.pem").write_text(server.certificate + server.key)
    (tmp_path / "ca.crt").write_text(authority.certificate)
    (tmp_path / "identity").write_text("planted-identity\n")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            made.seen.append((self.path, self.headers["Authorization"], sent))
            raw = made.body if isinstance(made.body, bytes) else json.dumps(made.body).encode()
            self.send_response(made.status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name upstream
            """Say nothing."""

    listener = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem")
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    made = Issuer(
        (
            "--issuer", f"https://localhost:{listener.server_address[1]}/",
            "--issuer-ca", str(tmp_path / "ca.crt"),
            "--identity-file", str(tmp_path / "identity"),
        )
    )  # fmt: skip
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    listener.shutdown()
    thread.join()
    listener.server_close()


def test_the_token_is_printed_and_nothing_else(issuer: Issuer, bulkhead: Bulkhead) -> None:
    """Scripts write $(bulkhead token ...) into a header, with or without an issuer."""
    done = bulkhead(*ASK, "--ttl", "90s", *issuer.arguments)

    assert (0, "a.b.c\n", "bulkhead: warning: no tool x\n") == (done.code, done.out, done.err)
    assert [
        (
            "/v1/workspaces/acme/token",
            "Bearer planted-identity",
            {"user": "alice", "scopes": ["session"], "ttl": "1m30s"},
        )
    ] == issuer.seen


@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (403, {"title": "May not", "detail": "Ask."}, 1, "workspace acme: May not: Ask."),
        (422, {"title": "Bad", "detail": "a user is", "field": "user"}, 1, "user: Bad: a user is"),
        (401, {"title": "Not known", "detail": "Send."}, 2, "401 Not known: Send."),
        (503, b"<html>", 2, "503 no answer of an issuer: HTTP 503"),
        (201, {}, 2, "201 no answer of an issuer"),
        (302, {}, 2, "302"),
    ],
)
def test_a_refusal_says_why(
    issuer: Issuer, bulkhead: Bulkhead, status: int, body: Any, code: int, said: str
) -> None:
    """1: the answer is no; 2: there is no answer. Never the identity."""
    issuer.status, issuer.body = status, body
    done = bulkhead(*ASK, *issuer.arguments)

    assert (code, "") == (done.code, done.out)
    assert said in done.err
    assert "planted-identity" not in done.err


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("--issuer", "http://localhost"), "an https:// URL is needed"),
        (("--issuer-ca", "/nowhere"), "--issuer-ca /nowhere: no file with PEM certificates"),
        (("--identity-file", "/nowhere"), "--identity-file /nowhere: No such file"),
        (("--issuer", "https://localhost:1"), "POST https://localhost:1/v1/workspaces/acme/token"),
    ],
)
def test_what_cannot_be_asked_is_said(
    issuer: Issuer, bulkhead: Bulkhead, changed: tuple[str, str], said: str
) -> None:
    """Nothing is sent in clear, or to whom we do not believe."""
    done = bulkhead(*ASK, *issuer.arguments, *changed)

    assert (2, "", []) == (done.code, done.out, issuer.seen)
    assert said in done.err


def test_an_issuer_that_the_ca_does_not_vouch_for_gets_no_identity(
    issuer: Issuer, bulkhead: Bulkhead, tmp_path: Path
) -> None:
    """Whoever took the name must not get the caller's identity."""
    other = new_authority("test", now=datetime.now(UTC), lifetime=timedelta(days=1))
    (tmp_path / "other.crt").write_text(other.certificate)
    done = bulkhead(*ASK, *issuer.arguments, "--issuer-ca", str(tmp_path / "other.crt"))

    assert (2, []) == (done.code, issuer.seen)
    assert "CERTIFICATE_VERIFY_FAILED" in done.err
