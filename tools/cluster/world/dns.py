"""Authoritative DNS for world.test over UDP and TCP; every other name does not exist."""

from __future__ import annotations

import itertools
import socket
import socketserver
import struct
from typing import cast

from . import override
from .hosts import DNS, NAMES
from .journal import record

TYPE_A = 1
NXDOMAIN = 3
IP_FREEBIND = 15  # Linux: bind before the address is there
_turns = {name: itertools.cycle(addresses) for name, addresses in NAMES.items()}


def question(packet: bytes) -> tuple[str, int, int]:
    """(lower-case name, type, offset behind the question) of a query; ValueError when it is none."""
    labels: list[str] = []
    at = 12
    while packet[at]:
        size = packet[at]
        if size > 63:
            raise ValueError("a compressed name in a question")
        labels.append(packet[at + 1 : at + 1 + size].decode("ascii"))
        at += size + 1
    (kind,) = struct.unpack_from("!H", packet, at + 1)
    return ".".join(labels).lower(), kind, at + 5


def answer(packet: bytes, client: str, transport: str) -> bytes:
    """The reply to one query; empty when the packet is no query."""
    try:
        name, kind, end = question(packet)
    except (IndexError, ValueError, struct.error):
        return b""
    known = name in NAMES
    addresses = [next(_turns[name])] if known and kind == TYPE_A else []
    record("dns", client=client, transport=transport, name=name, type=kind, answer=addresses, known=known)
    recursion_desired = packet[2] & 0x01
    flags = 0x8480 | (recursion_desired << 8) | (0 if known else NXDOMAIN)
    header = packet[:2] + struct.pack("!HHHHH", flags, 1, len(addresses), 0, 0)
    # 0xC00C points back at the question's name; TTL 0, so that nobody remembers.
    records = [struct.pack("!HHHIH", 0xC00C, TYPE_A, 1, 0, 4) + socket.inet_aton(a) for a in addresses]
    return header + packet[12:end] + b"".join(records)


class _Udp(socketserver.BaseRequestHandler):
    @override
    def handle(self) -> None:
        packet, sock = cast("tuple[bytes, socket.socket]", self.request)
        reply = answer(packet, self.client_address[0], "udp")
        if reply:
            sock.sendto(reply, self.client_address)


class _Tcp(socketserver.StreamRequestHandler):
    timeout = 5

    @override
    def handle(self) -> None:
        while len(size := self.rfile.read(2)) == 2:
            packet = self.rfile.read(struct.unpack("!H", size)[0])
            reply = answer(packet, self.client_address[0], "tcp")
            if not reply:
                return
            self.wfile.write(struct.pack("!H", len(reply)) + reply)


class _UdpServer(socketserver.ThreadingUDPServer):
    @override
    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        super().server_bind()


class _TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True

    @override
    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        super().server_bind()


def servers() -> list[socketserver.BaseServer]:
    """The servers, bound to the resolver's own address: a UDP reply must come from where the query went."""
    return [_UdpServer((DNS, 53), _Udp), _TcpServer((DNS, 53), _Tcp)]
