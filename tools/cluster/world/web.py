"""Web servers of the world: each answers as JSON who it is and what it was asked."""

from __future__ import annotations

import json
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from model_standin.answers import StandIn

from . import override
from .hosts import HTTP_PORTS, HTTPS_PORT, METADATA, MODEL, MODEL_PORT, TLS_ADDRESSES, owner
from .journal import record

if TYPE_CHECKING:
    from pathlib import Path

BODY_LIMIT_BYTES = 4 << 20
MODEL_SERVER = StandIn()
MODEL_LOCK = threading.Lock()  # it counts, and every connection here is a thread
ThreadingHTTPServer.request_queue_size = 256  # many probes come at once


class Handler(BaseHTTPRequestHandler):
    """One handler for every web server: the address that was dialled decides who answers."""

    protocol_version = "HTTP/1.1"
    server_version = "bulkhead-world"
    timeout = 30

    def _handle(self) -> None:
        address = self.connection.getsockname()[0]
        client = self.client_address[0]
        size = min(int(self.headers.get("Content-Length") or 0), BODY_LIMIT_BYTES)
        body = self.rfile.read(size)
        sni = getattr(self.connection, "world_sni", None)
        request = {
            "method": self.command,
            "path": self.path,
            "host": self.headers.get("Host"),
            "body_bytes": size,
        }
        tls = {"tls": isinstance(self.connection, ssl.SSLSocket), "sni": sni}
        record(owner(address), address=address, client=client, **request, **tls)
        if address == MODEL:
            self._model(body)
        elif address == METADATA:
            self._json(
                200, {"server": owner(address), "note": "no real cloud", "token": "world-metadata-stand-in"}
            )
        else:
            headers = {name.lower(): value for name, value in self.headers.items()}
            said = {
                "method": self.command,
                "path": self.path,
                "headers": headers,
                "body": body.decode(errors="replace"),
            }
            self._json(
                200,
                {
                    "server": owner(address),
                    "address": address,
                    "client": self.client_address[0],
                    "sni": sni,
                    **said,
                },
            )

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _handle  # noqa: N815 - http.server's names

    def _model(self, body: bytes) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        with MODEL_LOCK:
            reply = MODEL_SERVER.respond(self.command, self.path, headers, body)
        self.close_connection = reply.end != "done"
        if reply.end == "mute":
            return
        pieces, size = reply.pieces, sum(map(len, reply.pieces))
        if reply.end != "done":
            pieces = pieces[: len(pieces) // 2] or [pieces[0][: size // 2]]
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        framing = ("Transfer-Encoding", "chunked") if reply.streams else ("Content-Length", str(size))
        for name, value in (framing, *reply.headers.items()):
            self.send_header(name, value)
        self.end_headers()
        for piece in pieces:
            time.sleep(reply.pause_seconds)
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if reply.streams else piece)
            self.wfile.flush()
        if reply.streams and reply.end == "done":
            self.wfile.write(b"0\r\n\r\n")

    def _json(self, status: int, reply: Any) -> None:
        data = json.dumps(reply).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    @override
    def log_message(self, *_: Any) -> None:
        """Say nothing here: `record` has written its line already."""


class _TlsServer(ThreadingHTTPServer):
    """HTTPS that shakes hands in the connection's own thread, so that a silent client blocks nobody."""

    def __init__(self, port: int, contexts: dict[str, ssl.SSLContext]) -> None:
        super().__init__(("0.0.0.0", port), Handler)  # noqa: S104 - a container's own addresses
        self._contexts = contexts

    @override
    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(10)
        address = request.getsockname()[0]
        context = self._contexts.get(address)
        if context is None:
            return
        try:
            tls = context.wrap_socket(request, server_side=True)
        except (OSError, ssl.SSLError) as error:
            record(owner(address), address=address, client=client_address[0], tls_error=str(error))
            return
        try:
            super().finish_request(tls, client_address)
        finally:
            tls.close()

    @override
    def handle_error(self, _request: Any, client_address: Any) -> None:
        record("tls", client=client_address[0], error="connection ended early")


def _context(certificates: Path, address: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / f"{address}.crt", certificates / f"{address}.key")

    def remember(sock: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        setattr(sock, "world_sni", name)  # noqa: B010 - SSLSocket declares no such field

    context.sni_callback = remember
    return context


def servers(certificates: Path) -> list[ThreadingHTTPServer]:
    """Every web server, on all addresses of the container."""
    contexts = {address: _context(certificates, address) for address in TLS_ADDRESSES}
    ports = (*HTTP_PORTS, MODEL_PORT)
    plain = [ThreadingHTTPServer(("0.0.0.0", port), Handler) for port in ports]  # noqa: S104 - see above
    return [*plain, _TlsServer(HTTPS_PORT, contexts)]


def serve(server: Any) -> None:
    """Serve in a thread of its own until the process ends."""
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
