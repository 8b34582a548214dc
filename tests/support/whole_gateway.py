"""A whole gateway as its pod runs it, in this process: real clock, real audit log, real disk."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp
from support.gateway_config import gateway_config

from bulkhead_sandbox.clock import monotonic_seconds, wall_seconds
from bulkhead_sandbox.config import LimitsConfig, ModelConfig, RateConfig
from bulkhead_sandbox.gateway.assembly import Outside, assembled
from bulkhead_sandbox.gateway.audit import AuditLog, Identity, open_audit
from bulkhead_sandbox.logs import Log
from bulkhead_sandbox.serve import listening
from bulkhead_wire.gateway_keys import derive
from bulkhead_wire.keys import SigningKey, jwks_json
from bulkhead_wire.token import new_claims, sign
from model_standin import NAME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from bulkhead_sandbox.config import GatewayConfig
    from bulkhead_sandbox.gateway.metrics import Metrics

__all__ = ["ROOMY", "WholeGateway", "model_at", "seed_of", "token_for", "whole_gateway"]

HOST = "127.0.0.1"
_RATE = RateConfig(requests_per_minute=10**6, tokens_per_minute=10**9, tokens_per_day=10**12, concurrent=1000)
ROOMY = LimitsConfig(per_user=_RATE, tenant=_RATE)


def seed_of(uid: str) -> bytes:
    """A workspace's secrets all follow from this in tests."""
    return uid.encode().ljust(32, b"-")[:32]


def token_for(uid: str, subject: str, *scopes: str, **changes: Any) -> str:
    """A token in force now."""
    claims: dict[str, Any] = {
        "workspace_uid": uid,
        "tenant_id": "tenant",
        "subject": subject,
        "scopes": scopes,
        "epoch": 0,
        "now": wall_seconds(),
        "ttl_seconds": 600,
        "session_id": os.urandom(16),
        "token_id": os.urandom(16),
    }
    return sign(new_claims(**{**claims, **changes}), SigningKey.from_seed(seed_of(uid)))


def model_at(port: int, behaviour: str = "", **changes: Any) -> ModelConfig:
    """A stand-in on loopback."""
    members: dict[str, Any] = {
        "name": "default",
        "url": f"http://{HOST}:{port}/v1",
        "upstream_name": NAME + behaviour,
        "context_tokens": 8192,
        "max_output_tokens": 1024,
        "embeddings": True,
        "cache_salt": True,
    }
    return ModelConfig(**{**members, **changes})


@dataclass
class WholeGateway:
    """One workspace's, serving."""

    uid: str
    url: str
    config: GatewayConfig
    metrics: Metrics
    audit: AuditLog
    http: aiohttp.ClientSession

    async def ask(
        self, method: str, path: str, subject: str, *scopes: str, token: str | None = None, **options: Any
    ) -> tuple[int, bytes]:
        """Status and body of one request."""
        bearer = token or token_for(self.uid, subject, *scopes)
        headers = {"Authorization": f"Bearer {bearer}", **options.pop("headers", {})}
        async with self.http.request(method, self.url + path, headers=headers, **options) as response:
            return response.status, await response.read()

    def counted(self, name: str, **labels: str) -> float:
        """The value of a metric; 0 if it was never counted."""
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def whole_gateway(folder: Path, uid: str, **changes: Any) -> AsyncIterator[WholeGateway]:
    """Serving in `folder`, which a later one may take up; `changes` are members of its config."""
    config = gateway_config(folder, **{"workspace_uid": uid, "limits": ROOMY, **changes})
    (folder / "jwks.json").write_text(jwks_json([SigningKey.from_seed(seed_of(uid))]))
    (folder / "epoch").write_text("0")
    keys = derive(seed_of(uid), uid)
    log = Log(bytes, wall_seconds)
    outside = Outside(
        wall=wall_seconds,
        monotonic=monotonic_seconds,
        random_bytes=os.urandom,
        log=log,
        draining=lambda: False,
    )
    identity = Identity(workspace_uid=uid, tenant="tenant", process=f"gateway.{os.urandom(4).hex()}")
    async with (
        open_audit(
            folder / "data" / "audit",
            identity=identity,
            signing_seed=keys.signing,
            wall=wall_seconds,
            log=log,
        ) as audit,
        assembled(config, keys, audit, outside) as gateway,
        listening((gateway.surface, 0), host=HOST, drain_seconds=1) as (port,),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):
        yield WholeGateway(uid, f"http://{HOST}:{port}", config, gateway.metrics, audit, http)
