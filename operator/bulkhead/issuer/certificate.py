"""The issuer's certificate: made by the operator, read from its Secret, exchanged without a restart."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.certificates import KeyPair
from bulkhead.errors import InvalidValue, KubeError
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from bulkhead.kube.client import KubeClient

__all__ = ["ServerCertificate"]

_FIRST_SECONDS: Final = 1.0  # the operator has just been installed too
_AGAIN_SECONDS: Final = 60.0


class ServerCertificate:
    """One TLS context for the life of the process; new handshakes see what was loaded last."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._loaded: KeyPair | None = None
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_3

    @property
    def is_loaded(self) -> bool:
        """Whether there is anything to prove ourselves with."""
        return self._loaded is not None

    async def keep_current(self) -> None:
        """Load what the Secret holds, for ever; what is loaded stays while it cannot be read."""
        while True:
            try:
                await self._refresh()
            except (KubeError, InvalidValue) as error:
                logs.warning(LogEvent.CERTIFICATE_MISSING, error=str(error))
            await asyncio.sleep(_AGAIN_SECONDS if self.is_loaded else _FIRST_SECONDS)

    async def _refresh(self) -> None:
        secret = await self._client.get("Secret", names.ISSUER_TLS_SECRET, self._namespace)
        data = secret.get("data") or {}
        try:
            certificate, key = (base64.b64decode(data[name]).decode() for name in ("tls.crt", "tls.key"))
        except (KeyError, TypeError, binascii.Error, UnicodeDecodeError):
            raise InvalidValue(
                f"Secret {self._namespace}/{names.ISSUER_TLS_SECRET}", "unreadable", "tls.crt and tls.key"
            ) from None
        found = KeyPair.parsed(certificate, key)
        if found == self._loaded:
            return
        # OpenSSL reads a chain from a file only; the file is private and gone at once.
        with tempfile.NamedTemporaryFile() as pem:
            await asyncio.to_thread(Path(pem.name).write_text, certificate + key)
            self.context.load_cert_chain(pem.name)
        self._loaded = found
        logs.info(LogEvent.CERTIFICATE_LOADED, ends_at=found.ends_at.isoformat())
