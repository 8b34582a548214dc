"""What is known about the running cluster between two commands, and the lock that keeps them apart."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import IO, TYPE_CHECKING

from cluster.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cluster.progress import Progress
    from cluster.settings import Settings

LOCK_SECONDS = 600.0


@dataclass(frozen=True)
class State:
    """Mode is `host`, `local` or `current`; a cluster is complete once its smoke check has passed."""

    mode: str
    recipe: str = ""
    complete: bool = False
    tools: dict[str, str] = field(default_factory=dict)


def read_state(settings: Settings) -> State | None:
    """The recorded state, or None; a half-written one counts as none."""
    try:
        return State(**json.loads((settings.run / "state.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write_state(settings: Settings, state: State) -> None:
    """Record the state in one step."""
    settings.run.mkdir(parents=True, exist_ok=True)
    aside = settings.run / "state.json.part"
    aside.write_text(json.dumps(asdict(state), indent=2))
    aside.replace(settings.run / "state.json")


@contextmanager
def locked(
    settings: Settings, progress: Progress, *, patience_seconds: float = LOCK_SECONDS
) -> Iterator[None]:
    """One command at a time changes the cluster; a second waits, and is refused when that takes too long."""
    settings.cache.mkdir(parents=True, exist_ok=True)
    with (settings.cache / "lock").open("a+") as lock:
        deadline = time.monotonic() + patience_seconds
        told = False
        while not _try_lock(lock):
            lock.seek(0)
            holder = f"process {lock.read().strip() or 'unknown'} is changing this cluster"
            if time.monotonic() >= deadline:
                raise Refusal(f"{holder}, and did not end within {patience_seconds:.0f} s; try again later")
            if not told:
                progress.say(f"{holder}: waiting for it")
                told = True
            time.sleep(0.5)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield  # the kernel lets go of the lock when the process ends, however it ends


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
