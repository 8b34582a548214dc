"""The messages as they go to the model: the tag first, then the client's, data marked as data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkhead_sandbox.gateway.content.datamark import datamark
from bulkhead_sandbox.gateway.content.reserved import defused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["framed"]

_SYSTEM: Final = ("system", "developer")


def framed(messages: Sequence[Mapping[str, Any]], *, tag_message: str, marker: str) -> list[dict[str, Any]]:
    """`messages` behind `tag_message`, roles kept but `developer`, which not every server knows.

    System text that the client sends first joins the tag in one message, because many chat templates take
    only one and only there. Assistant text is the model's: template tokens in it are broken, as in tools'
    text.
    """
    leading = 0
    while leading < len(messages) and messages[leading].get("role") in _SYSTEM:
        leading += 1
    texts = [tag_message, *(_plain(message.get("content")) for message in messages[:leading])]
    first = {"role": "system", "content": "\n\n".join(texts)}
    return [first, *(_framed(message, marker) for message in messages[leading:])]


def _framed(message: Mapping[str, Any], marker: str) -> dict[str, Any]:
    role = message.get("role")
    if role == "developer":
        return {**message, "role": "system"}
    if role == "tool":
        return {**message, "content": datamark(_plain(message.get("content")), marker)}
    if role == "assistant" and "content" in message:
        return {**message, "content": _each_text(message["content"], defused)}
    return dict(message)


def _plain(content: Any) -> str:
    """The text of a message's content, which is text or a list of parts."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(
        part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def _each_text(content: Any, change: Callable[[str], str]) -> Any:
    if isinstance(content, str):
        return change(content)
    if not isinstance(content, list):
        return content
    return [
        {**part, "text": change(part["text"])}
        if isinstance(part, dict) and isinstance(part.get("text"), str)
        else part
        for part in content
    ]
