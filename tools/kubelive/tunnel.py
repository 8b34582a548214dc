"""Clients on this machine, packets from a pod: an HTTP CONNECT proxy in the backend's pod, by port-forward.

What leaves the pod is subject to the NetworkPolicies that hold for a backend, and TLS goes from the client to
the gateway with nobody in between.
"""

from __future__ import annotations

import re
import subprocess
import threading
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from kubelive.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubelive.backend import Backend

__all__ = ["connect_proxy"]

_PORT: Final = 18080
_PROXY: Final = f"""
import socket, sys, threading
def pump(one, other):
    try:
        while data := one.recv(65536):
            other.sendall(data)
    except OSError:
        pass
    finally:
        for end in (one, other):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
def forward(client, other, data):
    try:
        while data:
            line, rest = data.split(b"\\r\\n", 1) if b" http://" in data[:32] else (b"", data)
            if line:
                method, target, version = line.split(b" ")
                path = b"/" + target.removeprefix(b"http://").partition(b"/")[2]
                rest = b" ".join((method, path, version)) + b"\\r\\n" + rest
            other.sendall(rest)
            data = client.recv(65536)
    except OSError:
        pass
def serve(client):
    head = b""
    while b"\\r\\n\\r\\n" not in head and (data := client.recv(4096)):
        head += data
    method, target, _ = head.decode("latin-1").split(" ", 2)
    plain = method != "CONNECT"  # http://host:port/path, sent on as it is but for the first line
    authority, _, path = target.removeprefix("http://").partition("/")
    host, _, port = authority.rpartition(":")
    try:
        other = socket.create_connection((host, int(port)), timeout=10)
    except OSError:
        client.sendall(b"HTTP/1.1 502 Bad Gateway\\r\\n\\r\\n")
        client.close()
        return
    other.settimeout(None)
    if plain:  # the client opens one connection a gateway, so each further head goes to the same one
        threading.Thread(target=forward, args=(client, other, head), daemon=True).start()
    else:
        client.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
        threading.Thread(target=pump, args=(client, other), daemon=True).start()
    pump(other, client)
listener = socket.create_server(("127.0.0.1", {_PORT}))
print("listening", flush=True)
threading.Thread(target=lambda: (sys.stdin.read(), __import__("os")._exit(0)), daemon=True).start()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


@contextmanager
def connect_proxy(backend: Backend) -> Iterator[str]:
    """The URL of the proxy on this machine, as long as the block runs."""
    pod = ["-n", backend.namespace]
    inside = subprocess.Popen(
        ["kubectl", "exec", "-i", *pod, backend.pod, "--", "python3", "-c", _PROXY],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    forward = subprocess.Popen(
        ["kubectl", "port-forward", *pod, f"pod/{backend.pod}", f":{_PORT}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    said: list[str] = []
    readers = [
        threading.Thread(target=_collect, args=(stream, said))
        for stream in filter(None, (inside.stdout, forward.stdout))
    ]
    for reader in readers:
        reader.start()
    try:
        wait_until("the proxy in the backend's pod", lambda: "listening\n" in said, timeout_seconds=30)
        yield f"http://127.0.0.1:{wait_until('a forwarded port', lambda: _port(said), timeout_seconds=30)}"
    finally:
        for process in (inside, forward):
            process.kill()
            process.wait(timeout=10)
        for reader in readers:
            reader.join()
        for stream in filter(None, (inside.stdin, inside.stdout, forward.stdout)):
            stream.close()


def _collect(stream: IO[str], said: list[str]) -> None:
    said.extend(stream)


def _port(said: list[str]) -> int | None:
    for line in list(said):
        if found := re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ", line):
            return int(found[1])
    return None
