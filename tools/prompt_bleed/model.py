"""The worst shared model: a third of its answers are its own prompt, a third are somebody else's."""

from __future__ import annotations

import json
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from model_standin import NAME, Reply, StandIn

if TYPE_CHECKING:
    import random

__all__ = ["BleedingStandIn"]

_REMEMBERED = 512


class BleedingStandIn(StandIn):
    """As a server whose cache mixes up its users; `did` counts what it answered."""

    def __init__(self, dice: random.Random) -> None:
        super().__init__()
        self._dice = dice
        self._prompts: deque[list[dict[str, Any]]] = deque(maxlen=_REMEMBERED)
        self.did: Counter[str] = Counter()

    @override
    def respond(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        request = json.loads(body)
        asked = request["messages"]
        others = [prompt for prompt in self._prompts if prompt[0] != asked[0]]
        self._prompts.append(asked)
        what = self._dice.choice(["answer", "own", "other"]) if others else "answer"
        self.did[what] += 1
        if what == "answer":
            return super().respond(method, path, headers, body)
        prompt = asked if what == "own" else self._dice.choice(others)
        bled = {**request, "messages": prompt, "model": f"{NAME}:context"}
        return super().respond(method, path, headers, json.dumps(bled).encode())
