"""Asks a workspace's gateway on the operator's own port, with a token that opens that one workspace's only.

Signing keys are remembered between questions: reading a Secret for each would keep the API server busy. A key
that the gateway refuses is read anew, once.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp
import orjson

from bulkhead import names
from bulkhead.errors import KubeError
from bulkhead_wire.keys import InvalidKey, SigningKey
from bulkhead_wire.operator_token import sign_operator_token

if TYPE_CHECKING:
    from bulkhead.engine.clock import Clock
    from bulkhead.kube.client import KubeClient

__all__ = ["Door", "GatewayDoor", "Reply"]

_SECONDS: Final = 5.0
_LARGEST: Final = 4096  # bytes, unless the caller expects more
_UNAUTHORIZED: Final = 401


@dataclass(frozen=True, slots=True)
class Reply:
    """What a gateway said."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON, or None: it is none."""
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None


class Door(Protocol):
    """Where questions to gateways go; a fake in tests."""

    async def ask(
        self,
        uid: str,
        host: str,
        path: str,
        *,
        method: str = "GET",
        body: object = None,
        largest: int = _LARGEST,
    ) -> Reply | None:
        """The answer of the gateway at that address or name; None: there is none that can be believed."""
        ...


class GatewayDoor:
    """Over HTTP, within the cluster."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        client: KubeClient,
        operator_namespace: str,
        *,
        clock: Clock,
    ) -> None:
        self._session = session
        self._client = client
        self._namespace = operator_namespace
        self._clock = clock
        self._keys: dict[str, SigningKey] = {}

    def forget(self, uid: str) -> None:
        """The workspace is gone."""
        self._keys.pop(uid, None)

    async def ask(
        self,
        uid: str,
        host: str,
        path: str,
        *,
        method: str = "GET",
        body: object = None,
        largest: int = _LARGEST,
    ) -> Reply | None:
        """The answer; None: unreachable, too large, or without a key to ask with."""
        known = uid in self._keys
        key = await self._key(uid)
        if key is None:
            return None
        reply = await self._once(uid, key, host, path, method=method, body=body, largest=largest)
        if reply is None or reply.status != _UNAUTHORIZED or not known:
            return reply
        self.forget(uid)
        renewed = await self._key(uid)
        if renewed is None or renewed.kid == key.kid:
            return reply
        return await self._once(uid, renewed, host, path, method=method, body=body, largest=largest)

    async def _once(
        self, uid: str, key: SigningKey, host: str, path: str, *, method: str, body: object, largest: int
    ) -> Reply | None:
        bracketed = f"[{host}]" if ":" in host else host
        token = sign_operator_token(uid, key, now=self._clock.now().timestamp())
        try:
            async with self._session.request(
                method,
                f"http://{bracketed}:{names.GATEWAY_OPERATOR_PORT}{path}",
                json=body,
                headers={"Authorization": f"Bearer {token}"},
                timeout=aiohttp.ClientTimeout(total=_SECONDS),
                allow_redirects=False,
            ) as response:
                read = bytearray()
                async for chunk in response.content.iter_any():
                    read += chunk
                    if len(read) > largest:
                        return None
                return Reply(response.status, bytes(read))
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def _key(self, uid: str) -> SigningKey | None:
        """The workspace's signing key, remembered; None while there is none that can be read."""
        found = self._keys.get(uid)
        if found is not None:
            return found
        try:
            secret = await self._client.find("Secret", names.signing_key(uid), self._namespace)
            pem = base64.b64decode(((secret or {}).get("data") or {}).get("private.pem", ""), validate=True)
            found = SigningKey.from_pem(pem)
        except (KubeError, InvalidKey, binascii.Error, TypeError):
            return None
        self._keys[uid] = found
        return found
