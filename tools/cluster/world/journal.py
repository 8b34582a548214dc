"""One JSON line on stdout for all that reached the world: tests read it to see what did and what did not."""

from __future__ import annotations

import json
import sys
import threading
import time

_lock = threading.Lock()


def record(server: str, **fields: object) -> None:
    """Write one line; whole lines only, whichever thread writes."""
    line = json.dumps({"at": round(time.time(), 3), "server": server, **fields}, default=str)
    with _lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
