"""What keeps a tenant from telling, by the time to the first token, what another asked a shared model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bulkhead_wire.keys import encode_base64url

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CacheSalt"]

_PURPOSE: Final = "bulkhead-cache-salt-v1"


class CacheSalt:
    """The prefix cache's salt of this workspace; another one in each epoch, and none can be guessed."""

    def __init__(self, key: bytes, epoch: Callable[[], int]) -> None:
        self._key = key
        self._epoch = epoch
        self._made: tuple[int, str] | None = None

    def current(self) -> str:
        """43 characters of base64url."""
        epoch = self._epoch()
        if self._made is None or self._made[0] != epoch:
            derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"{_PURPOSE}\0{epoch}".encode())
            self._made = epoch, encode_base64url(derived.derive(self._key))
        return self._made[1]
