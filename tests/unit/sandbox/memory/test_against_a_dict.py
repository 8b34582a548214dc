"""Random operations of several users through two gateways, against a dict."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bulkhead_sandbox.gateway.memory import Conversations
from bulkhead_sandbox.problems import Problem, Slug

from .conftest import KEY, TTL, Disk

if TYPE_CHECKING:
    from collections.abc import Coroutine

USERS = ["alice", "Alice", "alice.", "bob", "a"]
WHO = st.sampled_from(USERS)
WHERE = st.integers(0, 1)  # which gateway


class MemoryAgainstDict(RuleBasedStateMachine):
    """`said`: by subject and handle, until when and what; all else must not be there, on disk neither."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.disk = Disk(Path(tempfile.mkdtemp()) / "memory")
        self.gateways = [self._gateway(), self._gateway()]
        self.said: dict[tuple[str, str], tuple[float, list[dict[str, Any]]]] = {}
        self.handles: list[str] = ["h_" + "0" * 32]
        self.now = self.disk.time.wall
        self.words = 0

    def _gateway(self) -> Conversations:
        made = Conversations(
            self.disk.folder,
            KEY,
            wall=lambda: self.disk.time.wall,
            monotonic=lambda: self.disk.time.monotonic,
            random_bytes=self.disk.random.randbytes,
            session_ttl_seconds=TTL,
        )
        self.run(made.open())
        return made

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(call)

    def expect(self, subject: str, handle: str, call: Coroutine[Any, Any, Any]) -> tuple[bool, Any]:
        """Whether the conversation is there, which must be as the dict says, and what `call` returned."""
        if self.is_there(subject, handle):
            return True, self.run(call)
        with pytest.raises(Problem) as caught:
            self.run(call)
        assert caught.value.slug is Slug.NOT_FOUND
        return False, None

    def is_there(self, subject: str, handle: str) -> bool:
        expires_at, _ = self.said.get((subject, handle), (0.0, []))
        return expires_at > self.now

    def pick(self, data: st.DataObject) -> str:
        return data.draw(st.sampled_from(self.handles))

    @precondition(lambda self: len(self.handles) < 12)
    @rule(subject=WHO, at=WHERE, seconds=st.sampled_from([1, 30, 600, TTL, 10 * TTL]))
    def create(self, subject: str, at: int, seconds: int) -> None:
        opened = self.run(self.gateways[at].create(subject, ttl_seconds=seconds))
        self.handles.append(opened.handle)
        self.said[subject, opened.handle] = (self.now + min(seconds, TTL), [])

    @rule(subject=WHO, at=WHERE, size=st.sampled_from([1, 20, 300, 3000]), data=st.data())
    def append(self, subject: str, at: int, size: int, data: st.DataObject) -> None:
        handle = self.pick(data)
        self.words += 1
        message = {"content": f"<word-{self.words:08}->" * size}
        there, _ = self.expect(subject, handle, self.gateways[at].append(subject, handle, [message]))
        if there:
            self.said[subject, handle][1].append(message)

    @rule(subject=WHO, at=WHERE, data=st.data())
    def read(self, subject: str, at: int, data: st.DataObject) -> None:
        handle = self.pick(data)
        there, messages = self.expect(subject, handle, self.gateways[at].messages(subject, handle))
        if there:
            assert self.said[subject, handle][1] == messages

    @rule(subject=WHO, at=WHERE, data=st.data())
    def delete(self, subject: str, at: int, data: st.DataObject) -> None:
        handle = self.pick(data)
        there, _ = self.expect(subject, handle, self.gateways[at].delete(subject, handle))
        if there:  # what has expired is for the sweep
            del self.said[subject, handle]

    @rule(subject=WHO, at=WHERE)
    def delete_user(self, subject: str, at: int) -> None:
        self.run(self.gateways[at].delete_user(subject))
        self.said = {key: value for key, value in self.said.items() if key[0] != subject}

    @rule(seconds=st.sampled_from([0.5, 29, 31, 601, TTL]))
    def time_passes(self, seconds: float) -> None:
        # Both are asked, as they would be by their sweeps: a gateway that sleeps does not see a clock jump.
        self.disk.time.passes(seconds)
        self.now += seconds
        for gateway in self.gateways:
            gateway._clock()

    @rule(seconds=st.sampled_from([5, 3600, 10**6]))
    def clock_is_set_back(self, seconds: float) -> None:
        self.disk.time.wall -= seconds

    @rule(at=WHERE)
    def sweep(self, at: int) -> None:
        self.run(self.gateways[at].sweep())
        self.said = {key: value for key, value in self.said.items() if value[0] > self.now}
        raw = self.disk.raw()
        kept = {m["content"][:16] for _, messages in self.said.values() for m in messages}
        for number in range(1, self.words + 1):
            word = f"<word-{number:08}->"
            assert (word.encode() in raw) == (word in kept)

    @invariant()
    def users_have_files_of_their_own(self) -> None:
        names = {name[:35] for name in self.disk.files()}
        assert len(names) <= len({subject for subject, _ in self.said})

    def teardown(self) -> None:
        self.run(self.gateways[0].erase_all())
        assert self.disk.raw() == b""
        for gateway in self.gateways:
            self.run(gateway.close())
        self.loop.close()
        shutil.rmtree(self.disk.folder.parent)


TestMemoryAgainstDict = MemoryAgainstDict.TestCase
TestMemoryAgainstDict.settings = settings(
    max_examples=40, stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
)
