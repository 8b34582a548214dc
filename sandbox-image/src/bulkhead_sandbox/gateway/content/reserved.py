"""What only a gateway may write into a prompt, and what a model's server would take for structure.

Clients' texts that hold it are refused; texts of tools and of the model's own, whose author is not the
caller, have it broken: a web page that an agent reads must neither speak as the system nor be able to stop
the agent.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any, Final

from bulkhead_sandbox.gateway.content.canaries import CanaryWatch
from bulkhead_sandbox.gateway.content.invisible import without_invisible
from bulkhead_sandbox.gateway.content.tags import well_formed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["defused", "reserved"]

# ChatML, Llama 3, Phi, Granite, Cohere; DeepSeek with its wide bar; Llama 2; Mistral; Gemma; end and begin of
# text.
_TOKEN: Final = re.compile(
    r"<[|\uff5c][^<>|\uff5c\n]{1,64}[|\uff5c]>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|TOOL_CONTENT)\]"
    r"|<</?SYS>>"
    r"|<(?:start|end)_of_(?:turn|image)>"
    r"|</?s>|<(?:bos|eos|pad|unk)>"
    r"|\[\s{0,8}bulkhead\s{1,8}\w{1,16}\s{0,8}=",
    re.IGNORECASE,
)
_NOT_THE_CALLERS: Final = ("tool", "assistant")
_ESCAPE: Final = re.compile(r"\\u([0-9A-Fa-f]{4})")


def reserved(messages: Sequence[Mapping[str, Any]], others: Mapping[str, Any] | None = None) -> str | None:
    """The path of the first text of a client's that holds what is reserved: `messages[2].content`.

    `others`: members of the request that chat templates print too, as `tools`. Template tokens in the content
    of tools and of the model itself are no reason: `defused` breaks them.
    """
    for name, value in (others or {}).items():
        for path, text in _texts(value, name):
            if _holds_canary(text) or _holds_token(text):
                return path
    for index, message in enumerate(messages):
        at = f"messages[{index}]"
        spared = f"{at}.content" if message.get("role") in _NOT_THE_CALLERS else None
        for path, text in _texts(message, at):
            is_spared = spared is not None and path.startswith(spared)
            if _holds_canary(text) or (not is_spared and _holds_token(text)):
                return path
    return None


def defused(text: str) -> str:
    """`text` without what a model's server would take for structure: each is broken visibly."""
    text = without_invisible(text)
    broken = _TOKEN.sub(_broken, text) if "<" in text or "[" in text else text
    # Servers may fold compatibility forms after us; where that would make a token, fold first and break then.
    if not broken.isascii() and _TOKEN.search(unicodedata.normalize("NFKC", broken)):
        broken = _TOKEN.sub(_broken, unicodedata.normalize("NFKC", broken))
    return broken


def _broken(token: re.Match[str]) -> str:
    return f"({token[0][1:]}" if token[0][0] == "[" else f"{token[0][0]} {token[0][1:]}"


def _holds_token(text: str) -> bool:
    return any(("<" in form or "[" in form) and _TOKEN.search(form) for form in _forms(text))


def _holds_canary(text: str) -> bool:
    watch = CanaryWatch(well_formed)
    return (watch.feed(text) or watch.finish()) is not None


def _forms(text: str) -> Iterator[str]:
    """The text, and as whoever reads it next may take it."""
    yield text
    if not text.isascii():
        text = unicodedata.normalize("NFKC", without_invisible(text))
        yield text
    if "\\u" in text:  # the arguments of a tool call are JSON within JSON
        yield _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), text)


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Every text in a JSON value, with its path, and names that are more than a name.

    Depth is the body reader's to bound.
    """
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in value.items():
            if not name.isidentifier():  # a parameter of a tool may have any name
                yield path, name
            yield from _texts(member, f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{path}[{index}]")
