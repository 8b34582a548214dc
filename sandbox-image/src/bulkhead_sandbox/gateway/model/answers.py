"""What a model server said, read field by field: only what is known here is ever said again."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from bulkhead_sandbox.gateway.limits import Usage

__all__ = [
    "Answer",
    "Delta",
    "Garbage",
    "ToolPart",
    "read_answer",
    "read_delta",
    "read_vectors",
    "usage_json",
]

_FINISHES: Final = frozenset({"stop", "length", "tool_calls", "content_filter"})
_NAME: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}", re.ASCII)
_MOST_TOKENS: Final = 10**9
_MOST_CALLS: Final = 64


class Garbage(Exception):
    """The server's answer is none; the argument is for our log."""


@dataclass(frozen=True, slots=True)
class ToolPart:
    """A call that the model wants made, or a piece of one."""

    index: int
    call_id: str | None
    name: str | None
    arguments: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    content: str | None
    tool_calls: list[ToolPart]
    finish: str
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class Delta:
    """One event of a stream."""

    content: str = ""
    tool_calls: list[ToolPart] = field(default_factory=list)
    finish: str | None = None
    usage: Usage | None = None
    counts: bool = False  # whether it says anything that took a token, be it one that is not passed on


def read_answer(data: bytes) -> Answer:
    """The one choice of a chat completion; Garbage."""
    body = _json(data)
    choice = _choice(body)
    if choice is None:
        raise Garbage("no-choice")
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Garbage("no-message")
    return Answer(
        content=_text(message.get("content"), "content"),
        tool_calls=_calls(message.get("tool_calls"), whole=True),
        finish=_finish(choice.get("finish_reason")) or "stop",
        usage=_usage(body.get("usage")),
    )


def read_delta(data: bytes) -> Delta:
    """One chunk of a chat completion; Garbage."""
    body = _json(data)
    if "error" in body:
        raise Garbage("error-event")
    choice = _choice(body)
    usage = _usage(body.get("usage"))
    if choice is None:
        return Delta(usage=usage)
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        raise Garbage("no-delta")
    content = _text(delta.get("content"), "content") or ""
    calls = _calls(delta.get("tool_calls"), whole=False)
    said = bool(content or calls or delta.get("reasoning_content") or delta.get("reasoning"))
    return Delta(content, calls, _finish(choice.get("finish_reason")), usage, counts=said)


def read_vectors(data: bytes, count: int) -> tuple[list[list[float]], Usage | None]:
    """The vectors of `count` texts in their order; Garbage."""
    body = _json(data)
    items = body.get("data")
    if not isinstance(items, list) or len(items) != count:
        raise Garbage("wrong-count")
    vectors: list[list[float] | None] = [None] * count
    for item in items:
        index = item.get("index") if isinstance(item, dict) else None
        if type(index) is not int or not 0 <= index < count or vectors[index] is not None:
            raise Garbage("wrong-index")
        vectors[index] = _vector(item.get("embedding"))
    return [vector for vector in vectors if vector is not None], _usage(body.get("usage"), output=False)


def usage_json(usage: Usage) -> dict[str, int]:
    """As clients read it. No cached tokens: they tell what others in the workspace asked before."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.tokens,
    }


def _json(data: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Garbage("no-json") from error
    if not isinstance(body, dict):
        raise Garbage("no-object")
    return body


def _choice(body: dict[str, Any]) -> dict[str, Any] | None:
    choices = body.get("choices")
    if not isinstance(choices, list) or len(choices) > 1:
        raise Garbage("choices")
    if not choices:
        return None
    (choice,) = choices
    if not isinstance(choice, dict) or choice.get("index") not in (0, None):
        raise Garbage("choice")
    return choice


def _calls(value: Any, *, whole: bool) -> list[ToolPart]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > _MOST_CALLS:
        raise Garbage("tool-calls")
    return [_call(call, at, whole=whole) for at, call in enumerate(value)]


def _call(call: Any, at: int, *, whole: bool) -> ToolPart:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise Garbage("tool-call")
    index = at if whole else call.get("index", at)
    call_id, name = _name(call.get("id")), _name(function.get("name"))
    if type(index) is not int or not 0 <= index < _MOST_CALLS or (whole and None in (call_id, name)):
        raise Garbage("tool-call")
    return ToolPart(index, call_id, name, _text(function.get("arguments"), "arguments") or "")


def _name(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        raise Garbage("tool-name")
    return value


def _text(value: Any, what: str) -> str | None:
    if value is not None and not isinstance(value, str):
        raise Garbage(what)
    return value


def _finish(value: Any) -> str | None:
    if value is None:
        return None
    return value if isinstance(value, str) and value in _FINISHES else "stop"


def _usage(value: Any, *, output: bool = True) -> Usage | None:
    """What the server counted; None if it did not, or not in numbers that can be."""
    if not isinstance(value, dict):
        return None
    details = value.get("prompt_tokens_details")
    counted = (
        value.get("prompt_tokens"),
        value.get("completion_tokens") if output else 0,
        details.get("cached_tokens", 0) if isinstance(details, dict) else 0,
    )
    given, made, cached = (
        count if type(count) is int and 0 <= count <= _MOST_TOKENS else None for count in counted
    )
    return None if given is None or made is None else Usage(given, made, cached or 0)


def _vector(value: Any) -> list[float]:
    if not isinstance(value, list) or not value:
        raise Garbage("vector")
    if not all(type(number) in (int, float) and math.isfinite(number) for number in value):
        raise Garbage("vector")
    return value
