"""A gateway's own keys, derived from one seed that the operator keeps: nothing but the seed must be stored.

HKDF-SHA256 (RFC 5869), salt the UID of the workspace, info the purpose: from one key no other follows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ["SEED_BYTES", "GatewayKeys", "derive"]

SEED_BYTES: Final = 32
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class GatewayKeys:
    """32 bytes each; never shown."""

    cache_salt: bytes = field(repr=False)  # keeps a shared model's prefix cache apart from other workspaces'
    tag: bytes = field(repr=False)  # tags, canaries and names of files
    signing: bytes = field(repr=False)  # Ed25519 seed: signs checkpoints of the audit log


def derive(seed: bytes, workspace_uid: str) -> GatewayKeys:
    """The same keys every time; ValueError for a seed of another length, which is not quoted."""
    if len(seed) != SEED_BYTES:
        raise ValueError("a gateway's seed has another length than 32 bytes")
    return GatewayKeys(
        cache_salt=_key(seed, workspace_uid, "cache-salt"),
        tag=_key(seed, workspace_uid, "tag"),
        signing=_key(seed, workspace_uid, "gateway"),
    )


def _key(seed: bytes, workspace_uid: str, purpose: str) -> bytes:
    info = f"bulkhead/v1/{purpose}".encode()
    return HKDF(hashes.SHA256(), _KEY_BYTES, salt=workspace_uid.encode(), info=info).derive(seed)
