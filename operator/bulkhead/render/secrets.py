"""Secrets: `data` only, because a key dropped from `stringData` stays in the object."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from bulkhead import names
from bulkhead.render.meta import metadata

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bulkhead.api.effective import Effective
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Manifest

__all__ = ["copied_secret", "copied_secrets", "missing_values", "session_keys", "source_of"]


def copied_secret(name: str) -> str:
    """The Secret in the workspace with the value of `spec.secrets[].name`."""
    return f"secret-{name}"


def session_keys(effective: Effective, context: RenderContext) -> Manifest:
    """The public keys that the gateway verifies sessions with."""
    return _secret(effective, names.SESSION_KEYS_SECRET, {"jwks.json": context.jwks.encode()})


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
