"""Secrets: `data` only, because a key dropped from `stringData` stays in the object."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.render.meta import metadata
from bulkhead_wire.gateway_keys import derive

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bulkhead.api.effective import Effective
    from bulkhead.render.context import RenderContext, SecretValue
    from bulkhead.render.rendered import Manifest

__all__ = [
    "EPOCH_FILE",
    "GATEWAY_KEY_FILES",
    "JWKS_FILE",
    "copied_secret",
    "copied_secrets",
    "gateway_keys",
    "missing_model_key",
    "missing_values",
    "model_key",
    "session_keys",
    "source_of",
]

JWKS_FILE: Final = "jwks.json"
EPOCH_FILE: Final = "epoch"
GATEWAY_KEY_FILES: Final = ("cache-salt.key", "gateway.key", "tag.key")


def copied_secret(name: str) -> str:
    """The Secret in the workspace with the value of `spec.secrets[].name`."""
    return f"secret-{name}"


def session_keys(effective: Effective, context: RenderContext) -> Manifest:
    """What the gateway judges sessions by: public keys, and the epoch below which all tokens are revoked."""
    values = {JWKS_FILE: context.jwks.encode(), EPOCH_FILE: str(effective.session_epoch).encode()}
    return _secret(effective, names.SESSION_KEYS_SECRET, values)


def gateway_keys(effective: Effective, seed: SecretValue) -> Manifest:
    """What the gateway salts, tags and signs with; no other pod mounts it."""
    keys = derive(seed.reveal(), effective.uid)
    values = dict(zip(GATEWAY_KEY_FILES, (keys.cache_salt, keys.signing, keys.tag), strict=True))
    return _secret(effective, names.GATEWAY_KEYS_SECRET, values)


def model_key(effective: Effective, context: RenderContext) -> tuple[Manifest, ...]:
    """The upstream API key of the chosen model, if it has one and it could be read."""
    if effective.model is None or effective.model.api_key is None or context.model_key is None:
        return ()
    return (_secret(effective, names.MODEL_KEY_SECRET, {"value": context.model_key.reveal()}),)


def missing_model_key(effective: Effective, context: RenderContext) -> tuple[str, ...]:
    """The source of the chosen model's API key as `Secret namespace/name:key`, if it could not be read."""
    source = effective.model.api_key if effective.model is not None else None
    if source is None or context.model_key is not None:
        return ()
    return (f"Secret {source.namespace}/{source.name}:{source.key}",)


def copied_secrets(effective: Effective, context: RenderContext) -> tuple[Manifest, ...]:
    """A copy of each source that could be read, under the key `value`."""
    return tuple(
        _secret(effective, copied_secret(source.name), {"value": value.reveal()})
        for source in effective.secrets
        if (value := context.secret_values.get(source.name)) is not None
    )


def source_of(effective: Effective, name: str) -> str:
    """Where a secret comes from, as status names it: namespace/name:key."""
    ref = next(source.from_ for source in effective.secrets if source.name == name)
    return f"{ref.namespace}/{ref.name}:{ref.key}"


def missing_values(effective: Effective, context: RenderContext, wanted: Iterable[str]) -> tuple[str, ...]:
    """The sources behind these secrets that could not be read, each as `Secret namespace/name:key`."""
    return tuple(
        f"Secret {source_of(effective, name)}" for name in wanted if name not in context.secret_values
    )


def _secret(effective: Effective, name: str, values: Mapping[str, bytes]) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(effective, name),
        "type": "Opaque",
        "data": {key: base64.b64encode(value).decode() for key, value in values.items()},
    }
