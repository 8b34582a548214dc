"""The name in a TLS ClientHello (RFC 8446 4.1.2, RFC 6066 3): read, bounded, never guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["MAX_HELLO_BYTES", "ClientHello", "NotTls", "client_hello"]

MAX_HELLO_BYTES: Final = 16 * 1024
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_ENCRYPTED_CLIENT_HELLO: Final = 0xFE0D
_HOST_NAME: Final = 0
_MAX_RECORD: Final = 2**14


class NotTls(ValueError):
    """The bytes cannot be the beginning of a TLS connection."""


@dataclass(frozen=True, slots=True)
class ClientHello:
    """What a client says before anything is encrypted."""

    server_name: str | None
    encrypted: bool  # carries an encrypted inner hello, whose name is not the one that can be seen


class _Reader:
    """Takes lengths and vectors off the front of a message; NotTls where there is less than it says."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) < count:
            raise NotTls("cut short")
        self._at += count
        return taken

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        return self.take(self.number(width))

    def end(self) -> None:
        if self:
            raise NotTls("bytes left over")


def client_hello(data: bytes) -> ClientHello | None:
    """The hello at the beginning of `data`, or None while more bytes are needed; NotTls if it is none."""
    message = _handshake(data)
    if message is None:
        if len(data) > MAX_HELLO_BYTES:
            raise NotTls("too long")
        return None
    body = _Reader(message)
    body.take(2 + 32)  # legacy version, random
    body.vector(1)  # session id
    body.vector(2)  # cipher suites
    body.vector(1)  # compression methods
    extensions = _extensions(_Reader(body.vector(2))) if body else {}
    body.end()
    name = extensions.get(_SERVER_NAME)
    return ClientHello(
        server_name=None if name is None else _server_name(name),
        encrypted=_ENCRYPTED_CLIENT_HELLO in extensions,
    )


def _handshake(data: bytes) -> bytes | None:
    """The first handshake message, put together from as many records as it takes; None: not all here yet."""
    message = b""
    at = 0
    while len(data) - at >= 5:
        kind, major, size = data[at], data[at + 1], int.from_bytes(data[at + 3 : at + 5], "big")
        if kind != _HANDSHAKE or major != 3 or not 0 < size <= _MAX_RECORD:
            raise NotTls("not a handshake record")
        message += data[at + 5 : at + 5 + size]
        at += 5 + size
        if message and message[0] != _CLIENT_HELLO:
            raise NotTls("not a ClientHello")
        whole = 4 + int.from_bytes(message[1:4], "big")
        if whole > MAX_HELLO_BYTES:
            raise NotTls("too long")
        if len(message) >= max(whole, 4):
            return message[4:whole]
    if data and data[0] != _HANDSHAKE:
        raise NotTls("not a handshake record")
    return None


def _extensions(reader: _Reader) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while reader:
        kind = reader.number(2)
        if kind in found:
            raise NotTls("an extension twice")
        found[kind] = reader.vector(2)
    return found


def _server_name(data: bytes) -> str:
    """The one host name in a server_name extension."""
    outer = _Reader(data)
    names = _Reader(outer.vector(2))
    outer.end()
    if names.number(1) != _HOST_NAME:
        raise NotTls("not a host name")
    name = names.vector(2)
    names.end()
    try:
        return name.decode("ascii")
    except UnicodeDecodeError as error:
        raise NotTls("not a host name") from error
