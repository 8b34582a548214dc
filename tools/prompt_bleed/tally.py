"""What clients got, and whether any of it was not theirs."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field

from bulkhead_sandbox.gateway.content.canaries import CanaryWatch
from bulkhead_sandbox.gateway.content.tags import well_formed

__all__ = ["Tally"]

_WORD = re.compile(r"word-[0-9a-f]{16}")


@dataclass
class Tally:
    """Counts of one run."""

    calls: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)  # "answered", or the problem that came instead
    canaries: int = 0  # answers that held one, anybody's
    others_words: int = 0  # answers that held what another user had said
    strange: Counter[str] = field(default_factory=Counter)  # answered without what was asked

    def judge(self, status: int, body: bytes, word: str) -> None:
        """One answer to a user who said `word`."""
        self.calls += 1
        text, problem = _said(status, body)
        self.outcomes[problem or "answered"] += 1
        for seen in (text, body.decode()):
            watch = CanaryWatch(well_formed)
            if watch.feed(seen) or watch.finish():
                self.canaries += 1
                break
        words = {*_WORD.findall(text), *_WORD.findall(body.decode())}
        self.others_words += bool(words - {word})
        if problem is None and word not in words:
            self.strange["answered without the question"] += 1


def _said(status: int, body: bytes) -> tuple[str, str | None]:
    """The text of an answer, whole or streamed, and the slug of the problem that ended it."""
    if status != 200:
        return "", str(json.loads(body)["type"]).removeprefix("urn:bulkhead:problem:")
    if not body.startswith((b"data:", b"event:")):
        return str(json.loads(body)["choices"][0]["message"]["content"]), None
    text, problem = "", None
    for line in body.decode().split("\n"):
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue
        event = json.loads(line.removeprefix("data: "))
        if "type" in event:
            problem = str(event["type"]).removeprefix("urn:bulkhead:problem:")
        for choice in event.get("choices", []):
            text += choice["delta"].get("content") or ""
    return text, problem
