"""Tests that mostly wait for a cluster: a module's stories begin together, each test waits for its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kubelive import Live
    from kubelive.backend import Backend

__all__ = ["Scene", "Story", "Told", "beside"]


@dataclass(frozen=True, slots=True)
class Scene:
    """What stories need."""

    live: Live
    backend: Backend
    make: Callable[..., str]  # a workspace that lasts until the last test of the module has ended


Story = Callable[[Scene], None]
Told = Callable[[Story], None]


@contextmanager
def beside(stories: Sequence[Story], scene: Scene, *, at_once: int = 7) -> Iterator[Told]:
    """Begin all of them; the value waits for one, and raises what it raised."""
    with ThreadPoolExecutor(at_once) as pool:
        going: dict[Story, Future[None]] = {story: pool.submit(story, scene) for story in stories}
        yield lambda story: going[story].result()
