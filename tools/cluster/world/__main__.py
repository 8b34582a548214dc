"""Start every server and stay; the addresses are put on the container from outside."""

from __future__ import annotations

import signal
from pathlib import Path

from . import dns, web
from .journal import record


def main() -> None:
    """Serve until the container is stopped."""
    for server in (*dns.servers(), *web.servers(Path("/certificates"))):
        web.serve(server)
    record("world", event="serving")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
