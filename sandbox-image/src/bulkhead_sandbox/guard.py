"""The guard: ends only once the network policy is in force in this very pod; until then nothing else starts.

Three facts, twice in a row: the gateway answers (so this pod's one allowed way is open), it names canaries
that it has just reached itself (so they are alive), and this pod's own connections to all of them go
unanswered. A canary lets everybody in, so what stops the connection is the policy on this pod's way out.

Silence counts, and so does the kernel's word that there is no way. A refusal does not: a packet that comes
back has arrived. Engines that answer a forbidden connection with a reset are therefore never proved here.

Standard library only and no event loop: this runs at every start of a pod.
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
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Address", "Guard", "State", "after", "canaries_in", "main", "proved"]

Address = tuple[str, int]

VARIABLE: Final = "BULKHEAD_CONFIG"
ROUNDS: Final = 2
CANARY_SECONDS: Final = 0.25  # a pod on the same cluster answers within a few milliseconds
GATEWAY_SECONDS: Final = 2.0
CONNECT_SECONDS: Final = 0.5  # a packet dropped before the policy is there is resent after 1 s only
WAIT_SECONDS: Final = 0.1
MAX_ANSWER_BYTES: Final = 4096
MAX_CANARIES: Final = 16
_EX_CONFIG: Final = 78  # sysexits.h, as the other roles
_REQUEST: Final = b"GET /v1/canaries HTTP/1.0\r\nHost: gateway\r\n\r\n"
# The kernel, or an engine through ICMP, says that the packet did not get there.
_NO_WAY: Final = frozenset(
    {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.ETIMEDOUT, errno.EHOSTDOWN}
)


class State(Enum):
    """What keeps the pod waiting, or no longer does."""

    NO_GATEWAY = "gateway-silent"
    NO_CANARY = "no-canary-alive"
    OPEN = "canary-reached"  # no policy is in force here
    CLOSED = "canary-unreachable"


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the proof stands."""

    state: State | None = None
    closed_rounds: int = 0


def after(progress: Progress, canaries: Sequence[Address] | None, *, reached: bool) -> Progress:
    """The progress after one round; `canaries` None: the gateway did not answer. Anything odd starts anew."""
    if canaries is None:
        return Progress(State.NO_GATEWAY)
    if not canaries:
        return Progress(State.NO_CANARY)
    if reached:
        return Progress(State.OPEN)
    return Progress(State.CLOSED, progress.closed_rounds + 1)


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
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return found if isinstance(listed, list) and len(found) <= MAX_CANARIES else None


def _address(text: str) -> Address:
    """An address and port, `10.0.0.7:8090` or `[fd00::7]:8090`; ValueError for a name: here is no DNS."""
    host, colon, port = text.rpartition(":")
    literal = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    try:
        socket.inet_pton(family, literal)
    except OSError as error:
        raise ValueError("not an address") from error
    if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError("not a port")
    return literal, int(port)


class Guard:
    """Repeats rounds until the proof stands."""

    def __init__(
        self,
        ask: Callable[[], tuple[Address, ...] | None],
        reaches: Callable[[Sequence[Address]], bool],
        wait: Callable[[float], object],
        say: Callable[[State], object],
    ) -> None:
        self._ask = ask
        self._reaches = reaches
        self._wait = wait
        self._say = say

    def run(self) -> None:
        """Return when the policy is in force; for ever, if it never is."""
        progress = Progress()
        while not proved(progress):
            canaries = self._ask()
            before, progress = (
                progress,
                after(progress, canaries, reached=bool(canaries) and self._reaches(canaries or ())),
            )
            # The canaries must still be alive after the silence: asked once more before it counts.
            if progress.state is State.CLOSED and not (again := self._ask()):
                progress = after(progress, again, reached=False)
            if progress.state is not None and progress.state is not before.state:
                self._say(progress.state)
            if progress.state is not State.CLOSED:
                self._wait(WAIT_SECONDS)


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
    with ExitStack() as stack:
        pending: list[socket.socket] = []
        for address in canaries:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
            connection = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            connection.settimeout(0)
            code = connection.connect_ex(address)
            if code == errno.EINPROGRESS:
                pending.append(connection)
            elif code not in _NO_WAY:
                return True
        deadline = time.monotonic() + CANARY_SECONDS
        while pending and (left := deadline - time.monotonic()) > 0:
            _, writable, _ = select.select([], pending, [], left)
            for connection in writable:
                if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) not in _NO_WAY:
                    return True  # connected, refused or reset: the packet has arrived
                pending.remove(connection)
    return False


def main(environment: Mapping[str, str]) -> int:
    """Exit status 0 once the policy is in force; 78 for a configuration that cannot work."""
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    try:
        gateway = _gateway(environment)
    except (ValueError, KeyError, TypeError, AttributeError):
        _line("error", "config.refused", problem=f'{VARIABLE} must be {{"gateway": "<address>:<port>"}}')
        return _EX_CONFIG
    started = time.monotonic()
    _line("info", "guard.started")

    def say(state: State) -> None:
        level = "info" if state is State.CLOSED else "warning"
        _line(level, "guard.waiting", state=state.value, waited_ms=_milliseconds(started))

    Guard(lambda: ask_gateway(gateway), reaches_any, time.sleep, say).run()
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
