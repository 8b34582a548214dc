"""The guard: nothing passes but the proof, and the proof is never taken from what cannot prove."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkhead_sandbox import guard
from bulkhead_sandbox.guard import (
    Guard,
    Progress,
    State,
    ask_gateway,
    canaries_in,
    proved,
    reaches_any,
    shown,
    step,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from bulkhead_sandbox.guard import Address

CANARY: Address = ("10.0.0.7", 8090)
OTHER: Address = ("10.0.0.8", 8090)
SIXTH: Address = ("fd00::7", 8090)
GATEWAY: Address = ("10.96.0.1", 8082)
STATES = st.sampled_from(State)
LISTS = st.none() | st.lists(st.sampled_from([CANARY, OTHER, SIXTH]), max_size=3, unique=True)
SOURCE = Path(__file__).parents[3] / "sandbox-image/src"


def answer(body: object, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\r\n{json.dumps(body)}".encode()


def scripted(
    words: Iterable[tuple[Address, ...] | None], reached: Iterable[bool]
) -> tuple[Guard, list[Sequence[Address]], list[float], list[State]]:
    """A guard whose gateway says `words` and whose tries end so; what it tried, waited, said."""
    answers, results = iter(words), iter(reached)
    tried: list[Sequence[Address]] = []
    waited: list[float] = []
    said: list[State] = []

    def reaches(canaries: Sequence[Address]) -> bool:
        tried.append(canaries)
        return next(results)

    made = Guard(GATEWAY, ask=lambda _: next(answers), reaches=reaches, wait=waited.append, say=said.append)
    return made, tried, waited, said


@given(st.lists(STATES, max_size=12))
def test_only_two_closed_rounds_in_a_row_are_a_proof(states: list[State]) -> None:
    """A single lost packet, or a canary that just died, must not let a tenant's code start."""
    progress = Progress()
    for state in states:
        progress = step(progress, state)

    assert proved(progress) is (len(states) >= 2 and {*states[-2:]} == {State.CLOSED})


@given(before=LISTS, after=LISTS, reached=st.booleans())
def test_silence_counts_only_of_a_canary_that_lived_before_and_after(
    before: list[Address] | None, after: list[Address] | None, *, reached: bool
) -> None:
    """Closed is said of nothing else: not without a gateway, not after a connection, not of a dead canary."""
    lived = {*(before or ())} & {*(after or ())} & {CANARY, OTHER}

    assert (shown(GATEWAY, before, after, reached=reached) is State.CLOSED) is (bool(lived) and not reached)


@pytest.mark.parametrize(
    ("gateway", "expected"), [(GATEWAY, State.NO_CANARY), (("fd00::1", 8082), State.CLOSED)]
)
def test_a_canary_of_another_family_proves_nothing(gateway: Address, expected: State) -> None:
    """A pod without any IPv6 reaches no IPv6 canary, policy or not."""
    assert expected is shown(gateway, [SIXTH], [SIXTH], reached=False)


def test_a_guard_waits_as_long_as_the_canary_is_reached() -> None:
    """A policy that comes late: the pod waits, says why once a state, and starts when it is there."""
    made, tried, waited, said = scripted(itertools.repeat((CANARY,)), [True, True, False, True, False, False])
    made.run()

    assert [State.OPEN, State.CLOSED, State.OPEN, State.CLOSED] == said
    assert (3, 6) == (len(waited), len(tried))


def test_silence_of_a_dead_canary_is_no_proof() -> None:
    """The canary may die between the gateway's word and our try: it is asked for again before it counts."""
    alive = (CANARY,)
    made, tried, _, _ = scripted([alive, (), alive, None, alive, (OTHER,), *[alive] * 4], [False] * 5)
    made.run()

    assert 5 == len(tried)


def test_without_a_canary_nothing_is_tried() -> None:
    """An empty list of connections would all fail, and read as closed."""
    made, tried, _, _ = scripted([None, ()], [])
    with pytest.raises(StopIteration):
        made.run()

    assert [] == tried


def test_the_gateways_answer_is_read() -> None:
    """The control of the refusals below; IPv6 too."""
    body = {"canaries": ["10.0.0.7:8090", "[fd00::7]:8090"]}

    assert (CANARY, ("fd00::7", 8090)) == canaries_in(answer(body))
    assert () == canaries_in(answer({"canaries": []}, "503 Service Unavailable"))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n{}",
        answer([]),
        answer({}),
        answer({"canaries": "10.0.0.7:8090"}),
        answer({"canaries": {"10.0.0.7:8090": 1}}),
        answer({"canaries": ["canary:8090"]}),
        answer({"canaries": ["10.0.0.7"]}),
        answer({"canaries": ["10.0.0.7:0"]}),
        answer({"canaries": ["10.0.0.7:65536"]}),
        answer({"canaries": ["10.0.0.7:+1"]}),
        answer({"canaries": [7]}),
        answer({"canaries": ["10.0.0.7:8090"] * 17}),
        answer({"canaries": ["10.0.0.7:8090"]}, "302 Found"),
    ],
)
def test_anything_but_a_gateways_answer_is_no_answer(text: bytes) -> None:
    """Whoever answers in the gateway's place must not be able to name canaries that are none."""
    assert canaries_in(text) is None


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_an_open_port_is_reached(listener: socket.socket) -> None:
    """No policy is in force where this connects."""
    assert reaches_any([listener.getsockname()])


def test_a_refusal_is_an_arrival(listener: socket.socket) -> None:
    """A reset came back, so the packet went out: nothing stopped it on its way."""
    address = listener.getsockname()
    listener.close()

    assert reaches_any([address])


def test_silence_is_no_arrival() -> None:
    """A listener whose queue is full lets packets vanish, as an enforced policy does."""
    with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for filling in (first, second):
            filling.settimeout(0)
            filling.connect_ex(silent.getsockname())

        assert not reaches_any([silent.getsockname()])


@pytest.mark.parametrize(
    ("sent", "expected"),
    [(answer({"canaries": ["10.0.0.7:8090"]}), (CANARY,)), (b"HTTP/1.1 200 OK\r\n" + b"x" * 5000, None)],
    ids=["gateway", "flood"],
)
def test_the_gateway_is_asked_within_bounds(
    listener: socket.socket, sent: bytes, expected: tuple[Address, ...] | None
) -> None:
    """An answer without end must not hold the guard or its memory."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1024)
            connection.sendall(sent)

    server = threading.Thread(target=serve)
    server.start()
    found = ask_gateway(listener.getsockname())
    server.join()

    assert expected == found


def test_a_silent_gateway_is_no_gateway(listener: socket.socket) -> None:
    """Nothing listens: the guard goes on waiting."""
    address = listener.getsockname()
    listener.close()

    assert ask_gateway(address) is None


@pytest.mark.parametrize(
    "config", [None, "", "{}", '{"gateway": "gateway:8082"}', '{"gateway": "10.0.0.1"}', "[]"]
)
def test_a_config_that_cannot_work_is_refused(config: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    """A guard that waits for a name that it cannot resolve would look like a policy that never comes."""
    environment = {} if config is None else {guard.VARIABLE: config}

    assert 78 == guard.main(environment)
    assert "config.refused" in capsys.readouterr().out


def test_a_guard_loads_nothing_but_the_standard_library() -> None:
    """It runs at every start of a pod: what it imports, everybody waits for."""
    code = (
        "import sys; from bulkhead_sandbox.__main__ import main; main(['guard']);"
        "print([name for name in ('aiohttp', 'asyncio', 'orjson', 'uvloop') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert "[]" == done.stdout.splitlines()[-1]
