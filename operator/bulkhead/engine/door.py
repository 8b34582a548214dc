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
from bulkhead_wire.gateway_keys import derive
from bulkhead_wire.keys import InvalidKey, SigningKey, VerifyKey
from bulkhead_wire.operator_token import sign_operator_token

if TYPE_CHECKING:
    from collections.abc import Mapping

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


@dataclass(frozen=True, slots=True)
class _Keys:
    """Of one workspace."""

    signing: SigningKey
    gateway: VerifyKey | None  # None: its seed is not there yet, or spoilt


class Door(Protocol):
    """Where questions to gateways go; a fake in tests."""

    def forget(self, uid: str) -> None:
        """The workspace is gone: its keys are not kept."""
        ...

    async def gateway_key(self, uid: str) -> VerifyKey | None:
        """The public key by which that workspace's gateway signs its audit log; None: not known."""
        ...

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
        self._keys: dict[str, _Keys] = {}

    def forget(self, uid: str) -> None:
        """The workspace is gone."""
        self._keys.pop(uid, None)

    async def gateway_key(self, uid: str) -> VerifyKey | None:
        """The public half of what the operator gave that gateway, not what a gateway says of itself."""
        found = await self._of(uid)
        return None if found is None else found.gateway

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
        found = await self._of(uid)
        return None if found is None else found.signing

    async def _of(self, uid: str) -> _Keys | None:
        """The workspace's keys, remembered once they are whole; None while none can be read."""
        found = self._keys.get(uid)
        if found is not None:
            return found
        try:
            secret = await self._client.find("Secret", names.signing_key(uid), self._namespace)
            data = (secret or {}).get("data") or {}
            signing = SigningKey.from_pem(base64.b64decode(data.get("private.pem", ""), validate=True))
        except (KubeError, InvalidKey, binascii.Error, TypeError):
            return None
        found = _Keys(signing, _gateway_key(data, uid))
        if found.gateway is not None:
            self._keys[uid] = found
        return found


def _gateway_key(data: Mapping[str, str], uid: str) -> VerifyKey | None:
    try:
        seed = base64.b64decode(data.get("gateway.seed", ""), validate=True)
        return SigningKey.from_seed(derive(seed, uid).signing).public
    except (ValueError, TypeError):  # InvalidKey and binascii.Error are ValueErrors
        return None
