"""The issuer's certificate: made and renewed by whoever leads, in the operator's own namespace."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.certificates import KeyPair
from bulkhead.errors import AlreadyExists, Conflict, InvalidValue, KubeError
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent
from bulkhead.trust import Trust, renewed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from bulkhead.kube.client import KubeClient
    from bulkhead.plan.observed import Manifest

__all__ = ["IssuerTls"]

_EVERY_SECONDS: Final = 3600.0
_AGAIN_SECONDS: Final = 5.0
_LABELS: Final = {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.COMPONENT_LABEL: names.ISSUER}


class IssuerTls:
    """Two Secrets and a ConfigMap, kept as `trust` says; a write over a newer version is refused."""

    def __init__(
        self, client: KubeClient, namespace: str, *, cluster_domain: str, now: Callable[[], datetime]
    ) -> None:
        self._client = client
        self._namespace = namespace
        host = f"{names.ISSUER_SERVICE}.{namespace}.svc"
        self._dns_names = (f"{names.ISSUER_SERVICE}.{namespace}", host, f"{host}.{cluster_domain}")
        self._now = now

    async def run(self) -> None:
        """For ever: at once, then hourly; sooner after a failure."""
        while True:
            pause_seconds = _EVERY_SECONDS
            try:
                await self.ensure()
            except KubeError as error:
                logs.warning(LogEvent.CERTIFICATE_NOT_MADE, error=str(error))
                pause_seconds = _AGAIN_SECONDS
            await asyncio.sleep(pause_seconds)

    async def ensure(self) -> None:
        """Everything is there and current when this returns; nothing is written if it was."""
        authority, server, published = await asyncio.gather(
            self._client.find("Secret", names.ISSUER_CA_SECRET, self._namespace),
            self._client.find("Secret", names.ISSUER_TLS_SECRET, self._namespace),
            self._client.find("ConfigMap", names.ISSUER_CA_CONFIG_MAP, self._namespace),
        )
        before = _trust(authority, server)
        trust = renewed(before, name="bulkhead issuer", dns_names=self._dns_names, now=self._now())
        # The CA first: a certificate of a CA that was lost would have to be made again.
        for name, live, data in (
            (
                names.ISSUER_CA_SECRET,
                authority,
                {
                    "tls.crt": trust.authority.certificate,
                    "tls.key": trust.authority.key,
                    "bundle.crt": trust.bundle,
                },
            ),
            (
                names.ISSUER_TLS_SECRET,
                server,
                {"tls.crt": trust.server.certificate, "tls.key": trust.server.key},
            ),
        ):
            encoded = {key: base64.b64encode(text.encode()).decode() for key, text in data.items()}
            await self._write("Secret", name, live, encoded)
        await self._write("ConfigMap", names.ISSUER_CA_CONFIG_MAP, published, {"ca.crt": trust.bundle})

    async def _write(self, kind: str, name: str, live: Manifest | None, data: Mapping[str, str]) -> None:
        if live is not None and live.get("data") == data:
            return
        manifest: Manifest = {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": self._namespace, "labels": dict(_LABELS)},
            "data": dict(data),
        }
        if kind == "Secret":
            manifest["type"] = "Opaque"
        try:
            if live is None:
                await self._client.create(manifest)
            else:
                manifest["metadata"] |= {key: live["metadata"][key] for key in ("uid", "resourceVersion")}
                await self._client.replace(manifest)
        except (AlreadyExists, Conflict) as error:  # an earlier leader's write arrived after all: look again
            raise Conflict(
                error.verb, kind, self._namespace, name, status=409, reason="Busy", message="looked at again"
            ) from error
        logs.info(LogEvent.CERTIFICATE_MADE, kind=kind, name=name)


def _trust(authority: Manifest | None, server: Manifest | None) -> Trust | None:
    """What the Secrets hold, or None: there is no usable CA, so everything is made anew."""
    try:
        ca = KeyPair.parsed(_text(authority, "tls.crt"), _text(authority, "tls.key"))
        bundle = _text(authority, "bundle.crt") or ca.certificate
    except InvalidValue:
        return None
    try:
        leaf = KeyPair.parsed(_text(server, "tls.crt"), _text(server, "tls.key"))
    except InvalidValue:
        leaf = ca  # proves none of the wanted names, so it is replaced
    return Trust(ca, bundle, leaf)


def _text(secret: Manifest | None, key: str) -> str:
    data = (secret or {}).get("data") or {}
    try:
        return base64.b64decode(data.get(key, ""), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, TypeError):
        return ""
