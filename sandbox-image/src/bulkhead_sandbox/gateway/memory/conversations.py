"""Conversations of verified users, off the event loop."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from bulkhead_sandbox.gateway.memory.folder import Folder, Swept
from bulkhead_sandbox.gateway.memory.steady import SteadyClock
from bulkhead_sandbox.gateway.memory.user_file import Conversation
from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bulkhead_sandbox.clock import Clock

__all__ = ["Conversations"]

T = TypeVar("T")
_HANDLE: Final = re.compile(r"h_[0-9a-f]{32}", re.ASCII)
_HANDLE_BYTES: Final = 16


class Conversations:
    """A handle is a name and works for its subject only; unknown, foreign or expired is one Problem."""

    def __init__(
        self,
        folder: Path,
        key: bytes,
        *,
        wall: Clock,
        monotonic: Clock,
        random_bytes: Callable[[int], bytes],
        session_ttl_seconds: int,
    ) -> None:
        """`key` names the files; `session_ttl_seconds`: how long any conversation is kept at most."""
        self._clock = SteadyClock(wall, monotonic)
        self._folder = Folder(folder, key, self._clock)
        self._random_bytes = random_bytes
        self._ttl_seconds = session_ttl_seconds
        # One thread: SQLite's files take one writer at a time anyway, and calls take less than a millisecond.
        self._thread = ThreadPoolExecutor(1, "memory")

    async def open(self) -> None:
        """MemoryFailed unless what is deleted here is really gone; nothing else works before this."""
        marker = self._random_bytes(_HANDLE_BYTES).hex()
        await self._run(lambda: self._folder.prepare(marker))

    async def create(
        self,
        subject: str,
        *,
        ttl_seconds: int | None = None,
        turn_ttl_seconds: int | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Conversation:
        """A conversation that lasts `ttl_seconds`, if that is not more than the session's time."""
        handle = f"h_{self._random_bytes(_HANDLE_BYTES).hex()}"
        seconds = min(ttl_seconds or self._ttl_seconds, self._ttl_seconds)

        def create() -> Conversation:
            with self._folder.file(subject, make=True, writes=True) as file:
                now = self._clock()
                conversation = Conversation(
                    handle=handle,
                    created_at=now,
                    expires_at=now + seconds,
                    turn_ttl_seconds=turn_ttl_seconds,
                    labels=dict(labels or {}),
                )
                file.create(conversation)
                return conversation

        return await self._run(create)

    async def get(self, subject: str, handle: str) -> Conversation:
        """What is known of it."""
        _check(handle)

        def get() -> Conversation:
            with self._folder.file(subject) as file:
                return file.get(handle, self._clock())

        return await self._run(get)

    async def messages(self, subject: str, handle: str) -> list[dict[str, Any]]:
        """All that was said and has not expired."""
        _check(handle)

        def messages() -> list[dict[str, Any]]:
            with self._folder.file(subject) as file:
                return file.messages(handle, self._clock())

        return await self._run(messages)

    async def append(self, subject: str, handle: str, messages: Sequence[Mapping[str, Any]]) -> int:
        """Keep one turn; how many old ones had to go, the remains of which go with the next sweep."""
        _check(handle)

        def append() -> int:
            with self._folder.file(subject, writes=True) as file:
                return file.append(handle, messages, self._clock())

        return await self._run(append)

    async def delete(self, subject: str, handle: str) -> None:
        """Nothing of it can be read from the disk when this returns."""
        _check(handle)

        def delete() -> None:
            with self._folder.file(subject) as file:
                file.get(handle, self._clock())
                file.delete(handle)
                self._folder.erased(subject, file)

        await self._run(delete)

    async def delete_user(self, subject: str) -> None:
        """The same of all that is one user's."""
        await self._run(lambda: self._folder.erase(subject))

    async def erase_all(self) -> int:
        """The same of every user's, for teardown; how many users there were."""
        return await self._run(self._folder.erase_all)

    async def sweep(self) -> Swept:
        """Erase what has expired. To be called every half minute; others get their turn between files."""
        swept = Swept()
        for name in await self._run(self._folder.due):
            swept += await self._run(partial(self._folder.sweep, name))
        return swept

    async def close(self) -> None:
        """Conversations stay, for the gateway that takes over."""
        await self._run(self._folder.close)
        self._thread.shutdown(wait=False)

    async def _run(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)


def _check(handle: str) -> None:
    if _HANDLE.fullmatch(handle) is None:
        raise Problem(Slug.NOT_FOUND)
