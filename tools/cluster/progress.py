"""Progress lines with elapsed time, safe to print from several threads."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

HEARTBEAT_SECONDS = 20.0


class Progress:
    """One line for each event, led by the seconds since the start; never silent for long."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._lock = threading.Lock()

    def say(self, text: str) -> None:
        """Print one line; stderr, since `env` and friends print data on stdout."""
        with self._lock:
            print(f"[{time.monotonic() - self._started:6.1f} s] {text}", file=sys.stderr, flush=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Say the start and the duration of a step, and every 20 s that it still runs."""
        begun = time.monotonic()
        done = threading.Event()

        def beat() -> None:
            while not done.wait(HEARTBEAT_SECONDS):
                self.say(f"{name}: still at it after {time.monotonic() - begun:.0f} s")

        self.say(f"{name} …")
        threading.Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            done.set()
        self.say(f"{name}: done in {time.monotonic() - begun:.1f} s")
