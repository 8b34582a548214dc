"""Prints what happens, and how long it took."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Narrator"]


class Narrator:
    """Numbered steps with their duration, and the facts seen inside them."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._step = 0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announce a step; close it with its duration."""
        self._step += 1
        began = time.monotonic()
        print(f"\n{self._step}. {title}", flush=True)
        yield
        print(f"   done in {time.monotonic() - began:.1f} s", flush=True)

    def fact(self, label: str, value: str) -> None:
        """One thing that was seen."""
        print(f"   {label:<58} {value}", flush=True)

    def text(self, text: str) -> None:
        """Output of a command, indented."""
        for line in text.rstrip().splitlines():
            print(f"   | {line}", flush=True)

    def elapsed_seconds(self) -> float:
        """Since the demo began."""
        return time.monotonic() - self._started
