"""The guard: ends only once the network policy is in force in this very pod; until then nothing else starts.

Three facts, twice in a row: the gateway answers (so this pod's one allowed way is open), it names canaries
that it has just reached itself (so they are alive), and this pod's own connections to all of them go
unanswered. A canary lets everybody in, so what stops the connection is the policy on this pod's way out.

Silence counts, and so does the kernel's word that there is no way. A refusal does not: a packet that comes
back has arrived. Engines that answer a forbidden connection with a reset are therefore never proved here.
docs/security/guard.md has the whole argument.

Standard library only, no event loop, and of that library only what is needed: this runs at every start of a
pod, under gVisor too.
"""

from __future__ import annotations

import errno
import json
import os
import select
import signal
import socket
import sys
import time
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Address", "Guard", "Progress", "State", "canaries_in", "main", "proved", "shown", "step"]

Address = tuple[str, int]

VARIABLE: Final = "BULKHEAD_CONFIG"
ROUNDS: Final = 2
CANARY_SECONDS: Final = 0.25  # a pod on the same cluster answers within a few milliseconds
TRIES: Final = 2  # within these: one lost packet is no silence, and the kernel sends it again after 1 s only
GATEWAY_SECONDS: Final = 2.0
CONNECT_SECONDS: Final = 0.5  # a packet dropped before the policy is there is resent after 1 s only
WAIT_SECONDS: Final = 0.1
MAX_ANSWER_BYTES: Final = 4096
MAX_CANARIES: Final = 16
_EX_CONFIG: Final = 78  # sysexits.h, as the other roles
_REQUEST: Final = b"GET /v1/canaries HTTP/1.0\r\nHost: gateway\r\n\r\n"
# The kernel, or an engine through ICMP (administratively prohibited), says that the packet did not get there.
# Not ECONNREFUSED: a canary's reset reads the same as a port-unreachable of an engine.
_NO_WAY: Final = frozenset(
    {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.ETIMEDOUT, errno.EHOSTDOWN}
)


class State(Enum):
    """What keeps the pod waiting, or no longer does."""

    NO_GATEWAY = "gateway-silent"
    NO_CANARY = "no-canary-alive"
    OPEN = "canary-reached"  # no policy is in force here
    CLOSED = "canary-unreachable"


class Progress(NamedTuple):  # a dataclass would add a quarter to the start
    """Where the proof stands."""

    state: State | None = None
    closed_rounds: int = 0


def shown(
    gateway: Address, before: Sequence[Address] | None, after: Sequence[Address] | None, *, reached: bool
) -> State:
    """What one round shows: the canaries alive before and after it (None: no answer), and if one was reached.

    Only silence of a canary that lived throughout counts, and only in the gateway's own family of addresses:
    a pod without any IPv6 reaches no IPv6 canary, policy or not.
    """
    if before is None:
        return State.NO_GATEWAY
    if reached:
        return State.OPEN
    if after is None:
        return State.NO_GATEWAY
    silent = [address for address in before if address in after and _family(address) == _family(gateway)]
    return State.CLOSED if silent else State.NO_CANARY


def step(progress: Progress, state: State) -> Progress:
    """The progress after one more round; anything but a closed one starts anew."""
    return Progress(state, progress.closed_rounds + 1 if state is State.CLOSED else 0)


def proved(progress: Progress) -> bool:
    """Whether the policy is known to be in force."""
    return progress.closed_rounds >= ROUNDS


def canaries_in(answer: bytes) -> tuple[Address, ...] | None:
    """The canaries in the gateway's answer; None for anything but the answer of a gateway."""
    head, _, body = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].split(b" ")
    if len(status) < 2 or not status[0].startswith(b"HTTP/1."):
        return None
    if status[1] == b"503":
        return ()
    if status[1] != b"200":
        return None
    try:
        listed = json.loads(body)["canaries"]
        found = tuple(map(_address, listed))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return found if isinstance(listed, list) and len(found) <= MAX_CANARIES else None


def _address(text: str) -> Address:
    """An address and port, `10.0.0.7:8090` or `[fd00::7]:8090`; ValueError for a name: here is no DNS."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    literal = host[1:-1] if bracketed else host
    try:
        socket.inet_pton(socket.AF_INET6 if bracketed else socket.AF_INET, literal)
    except OSError as error:
        raise ValueError("not an address") from error
    if not colon or not port.isascii() or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("not a port")
    return literal, int(port)


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address[0] else socket.AF_INET


class Guard:
    """Repeats rounds until the proof stands."""

    def __init__(
        self,
        gateway: Address,
        *,
        ask: Callable[[Address], tuple[Address, ...] | None],
        reaches: Callable[[Sequence[Address]], bool],
        wait: Callable[[float], object],
        say: Callable[[State], object],
    ) -> None:
        self._gateway = gateway
        self._ask = ask
        self._reaches = reaches
        self._wait = wait
        self._say = say

    def run(self) -> None:
        """Return when the policy is in force; for ever, if it never is."""
        progress = Progress()
        while not proved(progress):
            state = self._round()
            if state is not progress.state:
                self._say(state)
            progress = step(progress, state)
            if state is not State.CLOSED:
                self._wait(WAIT_SECONDS)

    def _round(self) -> State:
        before = self._ask(self._gateway)
        if not before:
            return shown(self._gateway, before, before, reached=False)
        if self._reaches(before):
            return shown(self._gateway, before, None, reached=True)
        return shown(self._gateway, before, self._ask(self._gateway), reached=False)


def ask_gateway(gateway: Address) -> tuple[Address, ...] | None:
    """What the gateway says, within bounded time and size; None: nothing that can be used."""
    deadline = time.monotonic() + GATEWAY_SECONDS
    answer = b""
    try:
        with socket.create_connection(gateway, timeout=CONNECT_SECONDS) as connection:
            connection.sendall(_REQUEST)
            while len(answer) <= MAX_ANSWER_BYTES and (left := deadline - time.monotonic()) > 0:
                connection.settimeout(left)
                piece = connection.recv(MAX_ANSWER_BYTES + 1)
                if not piece:
                    return canaries_in(answer)
                answer += piece
    except OSError:
        return None
    return None


def reaches_any(canaries: Sequence[Address]) -> bool:
    """Whether any connection is answered within a quarter of a second; all are tried side by side."""
    pending: list[socket.socket] = []
    try:
        for _ in range(TRIES):
            for address in canaries:
                if _knock(address, pending):
                    return True
            if _answered(pending, CANARY_SECONDS / TRIES):
                return True
    finally:
        for connection in pending:
            connection.close()
    return False


def _knock(address: Address, pending: list[socket.socket]) -> bool:
    """Begin a connection and add it to those that wait; whether it has been answered at once."""
    try:
        connection = socket.socket(_family(address), socket.SOCK_STREAM)
    except OSError as error:
        return error.errno != errno.EAFNOSUPPORT  # a kernel without IPv6 has no way to it
    connection.settimeout(0)
    code = connection.connect_ex(address)
    if code == errno.EINPROGRESS:
        pending.append(connection)
        return False
    connection.close()
    return code not in _NO_WAY


def _answered(pending: list[socket.socket], seconds: float) -> bool:
    """Whether one of them is answered in time; those that the kernel gives up are taken out."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        _, writable, _ = select.select([], pending, [], left)
        for connection in writable:
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) not in _NO_WAY:
                return True  # connected, refused or reset: the packet has arrived
            pending.remove(connection)
            connection.close()
    return False


def main(environment: Mapping[str, str]) -> int:
    """Exit status 0 once the policy is in force; 78 for a configuration that cannot work."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    try:
        gateway = _gateway(environment)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        _line("error", "config.refused", problem=f'{VARIABLE} must be {{"gateway": "<address>:<port>"}}')
        return _EX_CONFIG
    started = time.monotonic()
    _line("info", "guard.started")

    def say(state: State) -> None:
        level = "info" if state is State.CLOSED else "warning"
        _line(level, "guard.waiting", state=state.value, waited_ms=_milliseconds(started))

    Guard(gateway, ask=ask_gateway, reaches=reaches_any, wait=time.sleep, say=say).run()
    _line("info", "guard.passed", waited_ms=_milliseconds(started))
    return 0


def _gateway(environment: Mapping[str, str]) -> Address:
    config = json.loads(environment[VARIABLE])
    if config.keys() != {"gateway"}:
        raise ValueError("unknown fields")
    return _address(config["gateway"])


def _milliseconds(since: float) -> int:
    return round((time.monotonic() - since) * 1000)


def _line(level: str, event: str, **fields: Any) -> None:
    """A log line as every role writes it."""
    now = time.time()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    line = {"ts": stamp, "level": level, "event": event, "role": "guard", **fields}
    sys.stdout.write(json.dumps(line, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def _end(number: int, _frame: object) -> NoReturn:
    """At once: kubelet must not wait for a guard that waits for a policy."""
    os._exit(128 + number)
