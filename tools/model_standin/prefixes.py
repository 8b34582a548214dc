"""A prefix cache as model servers have it, without the cache: it tells which tokens would have been a hit.

Blocks are chained hashes, the first one salted, as in vLLM: two prompts share a hit only from their very
beginning, and only under the same salt.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict

BLOCK_TOKENS = 4  # small, so that short test prompts fill some
MAX_BLOCKS = 8192


class PrefixCache:
    """The blocks seen, those longest unused forgotten first."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, None] = OrderedDict()

    def visit(self, salt: str, tokens: list[str]) -> int:
        """How many leading tokens were there already; all of them are from now on."""
        chain = hashlib.sha256(salt.encode()).digest()
        hits = 0
        hitting = True
        for start in range(0, len(tokens) - BLOCK_TOKENS + 1, BLOCK_TOKENS):
            block = "\0".join(tokens[start : start + BLOCK_TOKENS])
            chain = hashlib.sha256(chain + block.encode()).digest()
            hitting = hitting and chain in self._blocks
            hits += BLOCK_TOKENS if hitting else 0
            self._blocks[chain] = None
            self._blocks.move_to_end(chain)
            if len(self._blocks) > MAX_BLOCKS:
                self._blocks.popitem(last=False)
        return hits
