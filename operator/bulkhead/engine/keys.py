"""Signing keys: one a workspace, kept in the operator's namespace; only the public half goes further."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.errors import AlreadyExists
from bulkhead_wire.keys import InvalidKey, Jwks, SigningKey, generate_key, jwks_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkhead.kube.client import KubeClient
    from bulkhead.plan.observed import Manifest

__all__ = ["PublicKeys", "SigningKeys", "signing_key_secret"]

PURPOSE: Final = "signing-key"
_PRIVATE: Final = "private.pem"
_PUBLIC: Final = "jwks.json"


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """What the rest of the operator may know of a workspace's keys."""

    secret_uid: str
    jwks: str  # empty: the Secret is there but cannot be read as a key set


def signing_key_secret(workspace: str, uid: str, namespace: str, key: SigningKey) -> Manifest:
    """The Secret of a new key; owned by the TenantWorkspace, so it cannot outlive it."""
    data = {_PRIVATE: key.pem(), _PUBLIC: jwks_json([key])}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": names.signing_key(uid),
            "namespace": namespace,
            "labels": names.workspace_labels(workspace, uid) | {names.PURPOSE_LABEL: PURPOSE},
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.WORKSPACE_KIND,
                    "name": workspace,
                    "uid": uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "type": "Opaque",
        "data": {name: base64.b64encode(text.encode()).decode() for name, text in data.items()},
    }


class SigningKeys:
    """Reads and makes the Secrets."""

    def __init__(
        self, client: KubeClient, namespace: str, new_key: Callable[[], SigningKey] = generate_key
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._new_key = new_key

    async def find(self, uid: str) -> PublicKeys | None:
        """The public half, if there is a key."""
        secret = await self._client.find("Secret", names.signing_key(uid), self._namespace)
        return None if secret is None else _public(secret)

    async def make(self, workspace: str, uid: str) -> PublicKeys:
        """The public half of a new key; one that is there already is never overwritten."""
        secret = signing_key_secret(workspace, uid, self._namespace, self._new_key())
        try:
            return _public(await self._client.create(secret))
        except AlreadyExists:  # an earlier leader's request arrived after all
            return _public(await self._client.get("Secret", names.signing_key(uid), self._namespace))


def _public(secret: Manifest) -> PublicKeys:
    encoded = (secret.get("data") or {}).get(_PUBLIC, "")
    try:
        text = base64.b64decode(encoded, validate=True).decode()
        Jwks.parse(text)
    except (binascii.Error, UnicodeDecodeError, InvalidKey):
        text = ""
    return PublicKeys(secret["metadata"]["uid"], text)
