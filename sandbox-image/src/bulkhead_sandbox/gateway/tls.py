"""The gateway's certificate, mounted by the operator and exchanged without dropping a connection."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bulkhead_sandbox.config import ConfigError
from bulkhead_sandbox.gateway.sessions.trust import WatchedFile

if TYPE_CHECKING:
    from bulkhead_sandbox.clock import Clock
    from bulkhead_sandbox.logs import Log

__all__ = ["ServerTls"]

_LOOK_SECONDS: Final = 5.0


class ServerTls:
    """One context for all connections; those that come after a change get the new certificate."""

    def __init__(self, folder: str, clock: Clock, log: Log) -> None:
        """ConfigError if there is no certificate to begin with."""
        self._certificate, self._key = Path(folder) / "tls.crt", Path(folder) / "tls.key"
        self._file = WatchedFile(str(self._certificate), clock)
        self._log = log
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self.context.set_alpn_protocols(["http/1.1"])
        self._loaded = self._file.current()
        try:
            self.context.load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"tls_folder: no certificate with its key: {type(error).__name__}") from error

    def refresh(self) -> None:
        """Take the certificate that is mounted now; one that does not fit its key is tried again later."""
        current = self._file.current()
        if current is None or current is self._loaded:
            return
        try:
            # A pair that does not fit leaves a context without any, so it is tried on another first.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self._certificate, self._key)
            self.context.load_cert_chain(self._certificate, self._key)
        except (OSError, ssl.SSLError) as error:  # read between two files of one exchange, or broken
            self._log.error("tls.refused", error=type(error).__name__)
            return
        self._loaded = current
        self._log.info("tls.loaded")

    async def watching(self) -> None:
        """Refresh every few seconds, for as long as the gateway lives."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.refresh()
