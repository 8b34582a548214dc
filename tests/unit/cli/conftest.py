"""A small API server on a loopback port and a kubeconfig for it: the commands run as users run them."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bulkhead.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WORKSPACES = "/apis/bulkhead.dev/v1alpha1/tenantworkspaces"
EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
UID = "5f0c3f5e-0000-4000-8000-000000000001"


@dataclass
class ApiServer:
    """Answers GET by path: an object, or a status code with a reason; anything else is 404."""

    url: str
    objects: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, tuple[int, str, str]] = field(default_factory=dict)
    queries: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)

    def answer(self, target: str) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        parts = urlsplit(target)
        self.queries.append((parts.path, parse_qs(parts.query)))
        if parts.path in self.failures:
            status, reason, message = self.failures[parts.path]
        elif parts.path in self.objects:
            return 200, self.objects[parts.path]
        else:
            status, reason, message = 404, "NotFound", "not found"
        return status, {"kind": "Status", "code": status, "reason": reason, "message": message}


@pytest.fixture
def api() -> Iterator[ApiServer]:
    """The server, in a thread: the command under test has an event loop of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = server.answer(self.path)
            raw = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name upstream
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = ApiServer(f"http://127.0.0.1:{listener.server_address[1]}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    listener.shutdown()
    thread.join()
    listener.server_close()


@dataclass(frozen=True)
class Outcome:
    """What a user and a script see of one command."""

    code: int
    out: str
    err: str


class Bulkhead:
    """Runs a command against the server."""

    def __init__(self, kubeconfig: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._kubeconfig = kubeconfig
        self._capsys = capsys

    def __call__(self, command: str, *arguments: str) -> Outcome:
        try:
            # In a thread of its own: pytest-asyncio keeps a loop in this one, which asyncio.run would orphan.
            with ThreadPoolExecutor(1) as pool:
                code = pool.submit(
                    main, [command, *arguments, "--kubeconfig", str(self._kubeconfig)]
                ).result()
        except SystemExit as end:  # argparse ends the process on wrong usage and after --help
            code = int(end.code or 0)
        seen = self._capsys.readouterr()
        return Outcome(code, seen.out, seen.err)


@pytest.fixture
def bulkhead(api: ApiServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bulkhead:
    """The commands, with a kubeconfig that leads to `api`."""
    path = tmp_path / "kubeconfig"
    path.write_text(kubeconfig(api.url))
    return Bulkhead(path, capsys)


def kubeconfig(server: str, user: dict[str, Any] | None = None) -> str:
    """A kubeconfig (JSON is YAML) with one context."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": user or {"token": "t"}}],
        }
    )


def workspace(name: str = "acme", **changes: Any) -> dict[str, Any]:
    """A TenantWorkspace as the API server sends it, Ready unless changed."""
    return {
        "apiVersion": "bulkhead.dev/v1alpha1",
        "kind": "TenantWorkspace",
        "metadata": {
            "name": name,
            "uid": UID,
            "generation": 3,
            "creationTimestamp": "2026-11-23T08:00:00Z",
            **changes.get("metadata", {}),
        },
        "spec": {"tenantID": f"{name}-corp", "tools": [{"name": "shell"}], **changes.get("spec", {})},
        "status": {
            "observedGeneration": 3,
            "namespace": {"name": f"bh-{name}-7f3c1", "uid": "n"},
            "gateway": {"url": f"http://gateway.bh-{name}-7f3c1.svc.cluster.local:8080"},
            "agents": "1/1",
            "expiresAt": "2026-11-23T16:00:00Z",
            "lastActivity": "2026-11-23T09:59:19Z",
            "conditions": [
                condition("ToolsReady", "True", "Ready", "1 of 1 tools serve"),
                condition("RuntimeReady", "True", "NotRequested", "no runtime is asked for"),
                condition("Ready", "True", "Ready", "serves"),
                condition("NetworkIsolated", "True", "Ready", "4 policies are in place"),
            ],
            **changes.get("status", {}),
        },
    }


def condition(kind: str, status: str, reason: str, message: str) -> dict[str, Any]:
    """One condition."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 3,
        "lastTransitionTime": "2026-11-23T08:00:05Z",
    }
