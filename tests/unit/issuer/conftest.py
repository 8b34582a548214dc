"""An issuer on a loopback port over an API server in memory, with real TLS and a fake clock."""

from __future__ import annotations

import base64
import json
import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import pytest
from aiohttp import web

from bulkhead import names
from bulkhead.certificates import new_authority, new_server
from bulkhead.errors import NotFound, Unavailable
from bulkhead.issuer.allowance import Allowance
from bulkhead.issuer.app import Issuer
from bulkhead.issuer.metrics import Metrics
from bulkhead.issuer.reviews import AUDIENCE, Reviews
from bulkhead_wire.keys import SigningKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bulkhead.kube.client import KubeClient

UID = "5f0c3f5e-0000-4000-8000-000000000001"
KEY = SigningKey.from_seed(b"\x07" * 32)
NOW = 1_900_000_000.0
BACKEND = "system:serviceaccount:platform:backend"
IDENTITY = "identity-of-the-backend"
ASK: dict[str, Any] = {"user": "alice", "scopes": ["tools:call:shell"]}


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@dataclass
class Api:
    """The four calls that an issuer makes; `rights` are (user name, workspace), `fails` are kinds."""

    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    identities: dict[str, dict[str, Any]] = field(default_factory=dict)
    rights: set[tuple[str, str]] = field(default_factory=set)
    fails: set[str] = field(default_factory=set)
    reviews: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def _check(self, kind: str) -> None:
        if kind in self.fails:
            raise Unavailable("get", kind, None, None, status=503, reason="Down", message="no etcd")

    async def find(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any] | None:
        self._check(kind)
        assert (namespace == "bulkhead-system") is (kind == "Secret")
        return self.objects.get((kind, name))

    async def get(self, kind: str, name: str, namespace: str | None = None) -> dict[str, Any]:
        found = await self.find(kind, name, namespace)
        if found is None:
            raise NotFound("get", kind, namespace, name, status=404, reason="NotFound", message="no")
        return found

    async def review(self, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        self._check(kind)
        self.reviews.append((kind, spec))
        if kind == "TokenReview":
            return {"status": self.identities.get(spec["token"], {"authenticated": False})}
        asked = spec["resourceAttributes"]
        assert ("bulkhead.dev", "tenantworkspaces", "create") == (
            asked["group"], asked["resource"], asked["verb"],
        )  # fmt: skip
        audits = {"token": "", "audit": "audit:"}[asked["subresource"]]
        return {"status": {"allowed": (spec["user"], audits + asked["name"]) in self.rights}}


@dataclass(frozen=True)
class Answer:
    """What a caller sees."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass
class Scene:
    """An issuer, its API server, its clock and a way to call it."""

    api: Api
    metrics: Metrics
    clock: list[float]
    session: aiohttp.ClientSession
    url: str

    async def ask(
        self,
        body: object = ASK,
        *,
        workspace: str = "acme",
        identity: str | None = IDENTITY,
        headers: dict[str, str] | None = None,
        method: str = "POST",
    ) -> Answer:
        """POST it; `body` as it is if it is bytes."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} | (headers or {})
        if identity is not None:
            sent["Authorization"] = f"Bearer {identity}"
        path = f"{self.url}/v1/workspaces/{workspace}/token"
        async with self.session.request(method, path, data=data, headers=sent) as response:
            return Answer(response.status, await response.json(content_type=None), dict(response.headers))


def known(username: str = BACKEND, **changed: Any) -> dict[str, Any]:
    """The status of a TokenReview that says yes."""
    user = {"username": username, "uid": "u", "groups": ["system:serviceaccounts"], "extra": {"k": ["v"]}}
    return {"authenticated": True, "audiences": [AUDIENCE], "user": user} | changed


def workspace(name: str = "acme", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": UID, **metadata},
        "spec": {"tenantID": "acme-corp", "sessionEpoch": 4, "tools": [{"name": "shell"}]},
        "status": {"gateway": {"url": "https://gateway"}},
    }


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """One workspace, its key, and a backend that may make tokens for it."""
    api, metrics, clock = Api(), Metrics(), [0.0]
    api.objects["TenantWorkspace", "acme"] = workspace()
    api.objects["Secret", names.signing_key(UID)] = {"data": {"private.pem": encoded(KEY.pem())}}
    api.identities[IDENTITY] = known()
    api.rights.add((BACKEND, "acme"))
    client = cast("KubeClient", api)
    issuer = Issuer(
        client=client,
        reviews=Reviews(client, lambda: clock[0]),
        strangers=Allowance(5, 20),
        callers=Allowance(50, 200),
        metrics=metrics,
        operator_namespace="bulkhead-system",
        monotonic=lambda: clock[0],
        wall=lambda: NOW,
        random_bytes=lambda count: b"\x01" * count,
    )
    serving, asking = contexts(tmp_path)
    runner = web.AppRunner(issuer.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=serving)
    await site.start()
    port = runner.addresses[0][1]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=asking)) as session:
        yield Scene(api, metrics, clock, session, f"https://localhost:{port}")
    await runner.cleanup()


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server named localhost and a client that believes it."""
    now = datetime.now(UTC)
    authority = new_authority("test", now=now, lifetime=timedelta(days=1))
    server = new_server(authority, ["localhost"], now=now, lifetime=timedelta(days=1))
    (folder / "server.pem").write_text(server.certificate + server.key)
    (folder / "ca.crt").write_text(authority.certificate)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "server.pem")
    return serving, ssl.create_default_context(cadata=authority.certificate)
