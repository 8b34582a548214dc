"""The gateway's own keys, mounted for it alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bulkhead_sandbox.config import ConfigError
from bulkhead_wire.gateway_keys import GatewayKeys

__all__ = ["read_keys"]

_KEY_BYTES: Final = 32


def read_keys(folder: str) -> GatewayKeys:
    """The keys in a mounted folder; ConfigError names the file that is missing or of another size."""
    return GatewayKeys(
        cache_salt=_key(folder, "cache-salt.key"),
        tag=_key(folder, "tag.key"),
        signing=_key(folder, "gateway.key"),
    )


def _key(folder: str, name: str) -> bytes:
    try:
        key = (Path(folder) / name).read_bytes()
    except OSError as error:
        raise ConfigError(f"{name}: cannot be read; it is mounted by the operator") from error
    if len(key) != _KEY_BYTES:
        raise ConfigError(f"{name}: must be {_KEY_BYTES} bytes")
    return key
