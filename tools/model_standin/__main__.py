"""`python -m model_standin [HOST:PORT]`: the stand-in as a server of its own, also in a pod."""

from __future__ import annotations

import asyncio
import sys

from model_standin.answers import BEHAVIOURS, NAME
from model_standin.server import serving

BANNER = f"{NAME}: for tests and demo only, there is no model in this server"


async def main(listen: str) -> None:
    """Serve until the process is ended."""
    host, _, port = listen.rpartition(":")
    async with serving(host, int(port)) as bound:
        print(f"{BANNER}. It listens on port {bound}. Names that misbehave:", flush=True)
        for behaviour, what in BEHAVIOURS.items():
            print(f"  {NAME}:{behaviour} {what}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:8000"))
