"""`python bench/content.py`: what it costs to look through an answer. CPU of one core, no cluster."""

from __future__ import annotations

import timeit
from typing import TYPE_CHECKING

from figures import Figure, write

from bulkhead_sandbox.gateway.content import Scanner, Tags, framed, reserved
from bulkhead_sandbox.gateway.content.datamark import datamark

if TYPE_CHECKING:
    from collections.abc import Callable

KIB = 1024
WORDS = "The quick brown fox jumps over the lazy dog, and then 12 more things happened. "
TEXTS = {
    "english": WORDS,
    "typographic": WORDS.replace(",", "\u2019"),
    "chinese": "\u6211\u4eec\u4eca\u5929\u8ba8\u8bba\u8fd9\u4e2a\u95ee\u9898\uff0c\u7136\u540e\u3002",
    "code": '{"id": "a1b2c3", "items": [1, 2, 3], "ok": true, "name_of_it": "x-y-z"}\n',
    "hostile-jwt": "eyJ",
    "hostile-canary": "bhc0",
}
PIECE = 4  # characters, about a token


def microseconds(call: Callable[[], object]) -> float:
    """The best of five, which other programs disturbed least."""
    timer = timeit.Timer(call)
    count, _ = timer.autorange()
    return min(timer.repeat(5, count)) / count * 1e6


def main() -> None:
    tags = Tags(bytes(32), "3f0c2b7e-52f1-4f6e-9a3c-0d6f5f1f7b10")
    scanner = Scanner(tags, {"model-key": "sk-upstream-key-of-somebody"})
    write(Figure("content.system-message", microseconds(lambda: tags.system_message("alice", "s")), "us", 1))
    for name, words in TEXTS.items():
        text = (words * (4 * KIB))[: 4 * KIB]
        spent = microseconds(lambda text=text: scanner.text(text, "alice"))  # type: ignore[misc]
        write(Figure(f"content.scan-4096.{name}", spent, "us", 1))
    text = (WORDS * KIB)[: 4 * KIB]
    pieces = [text[at : at + PIECE] for at in range(0, len(text), PIECE)]

    def stream() -> None:
        one = scanner.stream("alice")
        for piece in pieces:
            one.feed(piece)
        one.finish()

    write(Figure("content.scan-piece", microseconds(stream) / len(pieces), "us", len(pieces)))
    messages = [{"role": "system", "content": text[:KIB]}, {"role": "user", "content": text}]
    write(Figure("content.reserved-5120", microseconds(lambda: reserved(messages)), "us", 1))
    write(Figure("content.datamark-4096", microseconds(lambda: datamark(text, "^abcd^")), "us", 1))
    framing = microseconds(lambda: framed(messages, tag_message="tag", marker="^abcd^"))
    write(Figure("content.framed", framing, "us", 1))


if __name__ == "__main__":
    main()
