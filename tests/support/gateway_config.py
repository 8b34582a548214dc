"""A gateway's configuration as the operator would render it, with folders of a test's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bulkhead_sandbox.config import GatewayConfig, LimitsConfig, MemoryConfig, RateConfig
from bulkhead_wire.token import audience

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LIMITS", "WORKSPACE_UID", "gateway_config"]

WORKSPACE_UID = "3f0c2b7e-52f1-4f6e-9a3c-0d6f5f1f7b10"
LIMITS = LimitsConfig(
    per_user=RateConfig(
        requests_per_minute=60, tokens_per_minute=20_000, tokens_per_day=500_000, concurrent=4
    ),
    tenant=RateConfig(
        requests_per_minute=600, tokens_per_minute=200_000, tokens_per_day=5_000_000, concurrent=40
    ),
)


def gateway_config(folder: Path, **changes: Any) -> GatewayConfig:
    """The defaults of the API, everything on free ports and below `folder`; `changes` replace members."""
    uid = changes.get("workspace_uid", WORKSPACE_UID)
    members: dict[str, Any] = {
        "workspace": "acme",
        "workspace_uid": uid,
        "audience": audience(uid),
        "issuer": "bulkhead",
        "listen": 0,
        "operator_listen": 0,
        "health_listen": 0,
        "guard_listen": 0,
        "canary": "bulkhead-canary.bulkhead-system.svc.cluster.local:8090",
        "jwks_file": str(folder / "jwks.json"),
        "epoch_file": str(folder / "epoch"),
        "keys_folder": str(folder / "keys"),
        "data_folder": str(folder / "data"),
        "limits": LIMITS,
        "memory": MemoryConfig(session_ttl_seconds=3600),
        "models": (),
        "tools": (),
    }
    return GatewayConfig(**{**members, **changes})
