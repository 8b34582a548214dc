"""What may be asked of a model: the fields that are known here, and no other.

An allow-list: what a server does with a field that nobody here knows (more answers, raw logits, another
prefix cache, a shorter context) would be done unlimited and unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from bulkhead_sandbox.gateway.model import checks as c

__all__ = ["ChatRequest", "EmbeddingsRequest", "read_chat", "read_embeddings"]

_TEXT: Final = 1024 * 1024  # the body's own limit comes first
_TOKENS: Final = 2**31
_MESSAGES: Final = 2048
_CONTENT_PARTS: Final = c.listed(
    lambda part, at: c.fields(
        part, at, {"type": c.one_of("text"), "text": c.text(_TEXT)}, required=("type", "text")
    ),
    most=256,
    least=1,
)
# Every name of the same limit; the largest counts, so that none can hide another.
_OUTPUT_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")


def _content(value: Any, at: str) -> Any:
    return value if isinstance(value, str) else _CONTENT_PARTS(value, at)


def _object(value: Any, at: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        c.refuse(at, "must be an object")
    return value


def _tool(value: Any, at: str) -> dict[str, Any]:
    function = {
        "name": c.named,
        "description": c.text(8192),
        "parameters": _object,
        "strict": c.boolean,
    }

    def check(one: Any, inside: str) -> dict[str, Any]:
        return c.fields(one, inside, function, required=("name",))

    return c.fields(
        value, at, {"type": c.one_of("function"), "function": check}, required=("type", "function")
    )


def _tool_choice(value: Any, at: str) -> Any:
    if isinstance(value, str):
        return c.one_of("none", "auto", "required")(value, at)

    def function(one: Any, inside: str) -> dict[str, Any]:
        return c.fields(one, inside, {"name": c.named}, required=("name",))

    return c.fields(
        value, at, {"type": c.one_of("function"), "function": function}, required=("type", "function")
    )


def _tool_call(value: Any, at: str) -> dict[str, Any]:
    def function(one: Any, inside: str) -> dict[str, Any]:
        members = {"name": c.named, "arguments": c.text(_TEXT)}
        return c.fields(one, inside, members, required=("name", "arguments"))

    members = {"id": c.named, "type": c.one_of("function"), "function": function}
    return c.fields(value, at, members, required=("id", "type", "function"))


def _format(value: Any, at: str) -> dict[str, Any]:
    def schema(one: Any, inside: str) -> dict[str, Any]:
        members = {"name": c.named, "description": c.text(8192), "schema": _object, "strict": c.boolean}
        return c.fields(one, inside, members, required=("name",))

    members = {"type": c.one_of("text", "json_object", "json_schema"), "json_schema": schema}
    return c.fields(value, at, members, required=("type",))


def _stop(value: Any, at: str) -> Any:
    word = c.text(256, least=1)
    return word(value, at) if isinstance(value, str) else c.listed(word, most=4)(value, at)


_Members = tuple[dict[str, Any], tuple[str, ...]]  # the check of each, and those that must be there
_SYSTEM: Final[_Members] = ({"role": c.named, "content": _content}, ("content",))
_MESSAGE: Final[dict[str, _Members]] = {
    "system": _SYSTEM,  # behind the gateway's own, see content/framing.py
    "developer": _SYSTEM,
    "user": ({"role": c.named, "content": _content}, ("content",)),
    "assistant": (
        {"role": c.named, "content": _content, "tool_calls": c.listed(_tool_call, most=64)},
        (),
    ),
    "tool": ({"role": c.named, "content": _content, "tool_call_id": c.named}, ("content", "tool_call_id")),
}


def _message(value: Any, at: str) -> dict[str, Any]:
    role = value.get("role") if isinstance(value, dict) else None
    if not isinstance(role, str) or role not in _MESSAGE:
        c.refuse(f"{at}.role", f"must be one of {', '.join(_MESSAGE)}")
    members, required = _MESSAGE[role]
    return c.fields(value, at, members, required=required)


def _stream_options(value: Any, at: str) -> dict[str, Any]:
    return c.fields(value, at, {"include_usage": c.boolean})


# Sent on as they are.
_PASSED: Final = {
    "temperature": c.number(0, 2),
    "top_p": c.number(0, 1),
    "presence_penalty": c.number(-2, 2),
    "frequency_penalty": c.number(-2, 2),
    "seed": c.integer(-(2**63), 2**63 - 1),
    "stop": _stop,
    "tools": c.listed(_tool, most=128, least=1),
    "tool_choice": _tool_choice,
    "parallel_tool_calls": c.boolean,
    "response_format": _format,
}
_CHAT: Final = {
    **_PASSED,
    **dict.fromkeys(_OUTPUT_LIMITS, c.integer(1, _TOKENS)),
    "model": c.text(253, least=1),
    "messages": c.listed(_message, most=_MESSAGES, least=1),
    "stream": c.boolean,
    "stream_options": _stream_options,
    # Each answer costs as much as the first one: there is one.
    "n": c.one_of(1),
    "best_of": c.one_of(1),
}
_EMBEDDINGS: Final = {
    "model": c.text(253, least=1),
    "input": lambda value, at: (
        [c.text(_TEXT, least=1)(value, at)]
        if isinstance(value, str)
        else c.listed(c.text(_TEXT, least=1), most=128, least=1)(value, at)
    ),
    "encoding_format": c.one_of("float", "base64"),
    "dimensions": c.integer(1, 16384),
}


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A conversation to go on with; `output_tokens`: the most that was asked for, None: nothing was said."""

    model: str
    messages: list[dict[str, Any]]
    stream: bool
    wants_usage: bool
    output_tokens: int | None
    passed: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EmbeddingsRequest:
    """Texts to turn into vectors."""

    model: str
    texts: list[str]
    as_base64: bool
    dimensions: int | None


def read_chat(body: Any) -> ChatRequest:
    """The request; Problem names the field that is unknown or wrong."""
    given = c.fields(body, "", _CHAT, required=("model", "messages"))
    return ChatRequest(
        model=given["model"],
        messages=given["messages"],
        stream=given.get("stream", False),
        wants_usage=given.get("stream_options", {}).get("include_usage", False),
        output_tokens=max((given[name] for name in _OUTPUT_LIMITS if name in given), default=None),
        passed={name: given[name] for name in _PASSED if name in given},
    )


def read_embeddings(body: Any) -> EmbeddingsRequest:
    """The request; Problem names the field that is unknown or wrong."""
    given = c.fields(body, "", _EMBEDDINGS, required=("model", "input"))
    return EmbeddingsRequest(
        model=given["model"],
        texts=given["input"],
        as_base64=given.get("encoding_format") == "base64",
        dimensions=given.get("dimensions"),
    )
