"""`python bench/bleed.py [CALLS]`: does anything cross between two tenants whose model mixes up its users?

No cluster. 100,000 calls take some minutes; then a tenth of them through gateways that do not look for
canaries, which must be caught. Exit 1 if anything crossed, or if the broken gateways were not caught.
"""

from __future__ import annotations

import asyncio
import sys
import time

from figures import Figure, write

from prompt_bleed import run

CALLS = 100_000
USERS = 100  # a tenant
AT_ONCE = 32


async def main(calls: int) -> int:
    begun = time.perf_counter()
    seen = await run(calls, users=USERS, at_once=AT_ONCE)
    seconds = time.perf_counter() - begun
    crossed = seen.tally.canaries + seen.tally.others_words
    write(Figure("prompt-bleed.crossed", crossed, "answers", seen.tally.calls))
    write(Figure("prompt-bleed.blocked", seen.tally.outcomes["unsafe-output"], "answers", seen.tally.calls))
    for kind, count in seen.events.items():
        write(Figure(f"prompt-bleed.{kind}", count, "events", seen.tally.calls))
    write(Figure("prompt-bleed.rate", seen.tally.calls / seconds, "calls/s", seen.tally.calls))
    broken = await run(calls // 10, users=USERS, at_once=AT_ONCE, checks=False)
    write(Figure("prompt-bleed.crossed-unchecked", broken.tally.others_words, "answers", broken.tally.calls))
    as_expected = seen.tally.outcomes["answered"] == seen.did["answer"] and not seen.tally.strange
    return 0 if crossed == 0 and as_expected and broken.tally.others_words > 0 else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS)))
