"""Real packets from inside pods: many targets side by side in one `kubectl exec`."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from kubelive import kubectl

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["ARRIVED", "OPEN", "Place", "Target", "Tunnel", "probe", "through_proxy"]

OPEN: Final = "open"
ARRIVED: Final = frozenset({OPEN, "refused"})  # a packet that comes back has arrived, whatever it says
SECONDS: Final = 1.5  # a pod on the same cluster answers within milliseconds; the second SYN goes after 1 s
_TRIES: Final = 4  # of what shall be open: on a busy machine an answer may be late

_PROBE: Final = r"""
import errno, json, socket, struct, sys
from concurrent.futures import ThreadPoolExecutor

ask = json.load(sys.stdin)
SECONDS = ask["seconds"]
NAME = b"".join(bytes([len(part)]) + part for part in (b"allowed", b"world", b"test"))
QUERY = b"\x13\x37\x01\x00\x00\x01" + bytes(6) + NAME + b"\x00\x00\x01\x00\x01"

def family(host):
    return socket.AF_INET6 if ":" in host else socket.AF_INET

def tcp(host, port):
    socket.create_connection((host, port), timeout=SECONDS).close()

def answered(connection, host, port, data):
    with connection:
        connection.settimeout(SECONDS)
        connection.connect((host, port))
        connection.send(data)
        connection.recv(512)

def udp(host, port):
    answered(socket.socket(family(host), socket.SOCK_DGRAM), host, port, QUERY)

def icmp(host, port):
    echo = struct.pack("!BBHHH", 8, 0, 0xFFFF - 0x0800 - 1, 0, 1)
    answered(socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP), host, 0, echo)

def look(target):
    tries = ask["tries"] if target["name"] in ask["wanted"] else 1
    for _ in range(tries):
        try:
            {"tcp": tcp, "udp": udp, "icmp": icmp}[target["kind"]](target["host"], target["port"])
            return "open"
        except ConnectionRefusedError:
            outcome = "refused"
        except TimeoutError:
            outcome = "silent"
        except OSError as error:
            outcome = errno.errorcode.get(error.errno, type(error).__name__)
    return outcome

with ThreadPoolExecutor(max(1, len(ask["targets"]))) as pool:
    outcomes = list(pool.map(look, ask["targets"]))
print(json.dumps(dict(zip([target["name"] for target in ask["targets"]], outcomes))))
"""

_TUNNELS: Final = r"""
import json, socket, ssl, sys
from concurrent.futures import ThreadPoolExecutor

def look(ask):
    try:
        with socket.create_connection(("egress", ask["port"]), timeout=5) as raw:
            raw.sendall(f"CONNECT {ask['target']} HTTP/1.1\r\nHost: {ask['target']}\r\n\r\n".encode())
            status = raw.recv(4096).split(b" ")[1].decode()
            if status != "200" or not ask["sni"]:
                return status
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            try:
                with context.wrap_socket(raw, server_hostname=ask["sni"]):
                    return status
            except OSError:
                return "cut"
    except OSError as error:
        return type(error).__name__

asked = json.load(sys.stdin)
with ThreadPoolExecutor(len(asked)) as pool:
    print(json.dumps(dict(zip([each["name"] for each in asked], pool.map(look, asked)))))
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A running container."""

    namespace: str
    pod: str
    container: str


@dataclass(frozen=True, slots=True)
class Target:
    """Where to connect: tcp (a handshake), udp (a DNS question that is answered) or icmp (an echo)."""

    host: str
    port: int
    kind: str = "tcp"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """A CONNECT by the egress proxy's port, and the name in the TLS greeting that follows."""

    port: int
    target: str
    sni: str = ""


def probe(place: Place, targets: Mapping[str, Target], *, wanted: Collection[str] = ()) -> dict[str, str]:
    """What became of each target: open, refused, silent, or the name of the error.

    What is `wanted` open is tried again; what shall be shut is tried once.
    """
    listed = [
        {"name": name, "kind": each.kind, "host": each.host, "port": each.port}
        for name, each in targets.items()
    ]
    ask = {"targets": listed, "seconds": SECONDS, "tries": _TRIES, "wanted": sorted(wanted)}
    return _run(place, _PROBE, ask)


def through_proxy(place: Place, tunnels: Mapping[str, Tunnel]) -> dict[str, str]:
    """The proxy's status for each, `cut` where the tunnel ended at the TLS greeting, else the error."""
    return _run(
        place,
        _TUNNELS,
        [
            {"name": name, "port": each.port, "target": each.target, "sni": each.sni}
            for name, each in tunnels.items()
        ],
    )


def _run(place: Place, script: str, ask: object) -> dict[str, str]:
    """As break-glass: nobody else may enter a gateway or an egress proxy."""
    command: Sequence[str] = (
        "exec", "-i", "-n", place.namespace, place.pod, "-c", place.container, "--", "python3", "-c", script
    )  # fmt: skip
    done = kubectl(*command, stdin=json.dumps(ask), break_glass=True)
    outcomes: dict[str, str] = json.loads(done.stdout)
    return outcomes
