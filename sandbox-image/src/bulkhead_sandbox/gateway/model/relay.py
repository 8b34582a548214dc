"""A model's stream on its way to the client: read, looked through, counted and said again; no I/O in here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkhead_sandbox.gateway.limits import Usage
from bulkhead_sandbox.gateway.limits.estimates import tokens_of_bytes
from bulkhead_sandbox.gateway.model.answers import Delta, Garbage, ToolPart, read_delta, usage_json
from bulkhead_sandbox.gateway.model.events import DONE, Events, EventTooLarge, event

if TYPE_CHECKING:
    from bulkhead_sandbox.gateway.content import Scanner, StreamScanner

__all__ = ["MAX_EVENT_BYTES", "Relay"]

MAX_EVENT_BYTES: Final = 256 * 1024
# No vocabulary has tokens that are longer on average: more bytes are surely more tokens than were granted.
_MOST_BYTES_A_TOKEN: Final = 32
_SPARE_BYTES: Final = 4096


class Relay:
    """One stream. UnsafeOutput and Garbage end it; what was given out until then was safe."""

    def __init__(
        self,
        shared: dict[str, Any],
        scanner: Scanner,
        subject: str,
        *,
        output_cap: int,
        input_tokens: int,
        wants_usage: bool,
    ) -> None:
        """`shared`: id, created and model; `input_tokens`: the guess, should nobody count."""
        self._shared = {**shared, "object": "chat.completion.chunk"}
        self._scanner = scanner
        self._subject = subject
        self._output_cap = output_cap
        self._input_tokens = input_tokens
        self._wants_usage = wants_usage
        self._events = Events(MAX_EVENT_BYTES)
        self._content = scanner.stream(subject)
        self._calls: dict[int, _Call] = {}
        self._said: list[str] = []
        self._out: list[bytes] = []
        self._bytes = self._pieces = 0
        self._began = False
        self._counted: Usage | None = None
        self.finish: str | None = None
        self.done = False
        self.cut = False  # by us: the server may have more to say

    def feed(self, data: bytes) -> bytes:
        """What the client gets after this piece of the server's stream, from anywhere to anywhere."""
        try:
            events = self._events.feed(data)
        except EventTooLarge as error:
            raise Garbage("event-too-large") from error
        for one in events:
            if self.done:
                break
            if one == b"[DONE]":
                self._complete("stop")
            else:
                self._take(read_delta(one))
        return self._given_out()

    def end(self) -> bytes:
        """The same at the end of the server's stream; Garbage if that came too early."""
        if not self.done:
            if self.finish is None:
                raise Garbage("cut-off")
            self._complete("stop")
        return self._given_out()

    def usage(self) -> Usage:
        """What it cost so far: as the server counted, or else by what it delivered."""
        if self._counted is not None:
            return self._counted
        made = max(tokens_of_bytes(self._bytes), self._pieces)
        return Usage(self._input_tokens, made, estimated=True)

    def message(self) -> dict[str, Any]:
        """What the model said, as a message for the conversation's memory."""
        message: dict[str, Any] = {"role": "assistant", "content": "".join(self._said)}
        if self._calls:
            message["tool_calls"] = [call.whole() for _, call in sorted(self._calls.items())]
        return message

    def _take(self, delta: Delta) -> None:
        self._counted = delta.usage or self._counted
        self._pieces += delta.counts
        self._bytes += len(delta.content.encode()) + sum(
            len(part.arguments.encode()) for part in delta.tool_calls
        )
        if self.finish is not None:
            return
        if self._is_beyond_cap():
            self.cut = True
            self._complete("length")
            return
        if delta.content:
            self._say_content(self._content.feed(delta.content))
        for part in delta.tool_calls:
            self._take_call(part)
        if delta.finish is not None:
            self._finish(delta.finish)

    def _is_beyond_cap(self) -> bool:
        """Whether more came than was granted; a piece is a token at least."""
        counted = 0 if self._counted is None else self._counted.output_tokens
        return (
            max(counted, self._pieces) > self._output_cap
            or self._bytes > self._output_cap * _MOST_BYTES_A_TOKEN + _SPARE_BYTES
        )

    def _take_call(self, part: ToolPart) -> None:
        call = self._calls.get(part.index)
        said: dict[str, Any] = {"index": part.index}
        if call is None:
            if part.call_id is None or part.name is None:
                raise Garbage("tool-call")
            call_id = self._scanner.text(part.call_id, self._subject)
            name = self._scanner.text(part.name, self._subject)
            call = self._calls[part.index] = _Call(call_id, name, self._scanner.stream(self._subject))
            said |= {"id": call_id, "type": "function"}
            arguments = call.feed(part.arguments)
            self._say({"tool_calls": [said | {"function": {"name": name, "arguments": arguments}}]})
            return
        arguments = call.feed(part.arguments)
        if arguments:
            self._say({"tool_calls": [said | {"function": {"arguments": arguments}}]})

    def _finish(self, reason: str) -> None:
        """What was held back, then the reason why it is over."""
        self._say_content(self._content.finish())
        for index, call in sorted(self._calls.items()):
            arguments = call.finish()
            if arguments:
                self._say({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})
        self.finish = reason
        self._say({}, reason)

    def _complete(self, reason: str) -> None:
        if self.finish is None:
            self._finish(reason)
        if self._wants_usage:
            self._out.append(event({**self._shared, "choices": [], "usage": usage_json(self.usage())}))
        self._out.append(DONE)
        self.done = True

    def _say_content(self, text: str) -> None:
        if text:
            self._said.append(text)
            self._say({"content": text})

    def _say(self, delta: dict[str, Any], finish: str | None = None) -> None:
        if not self._began:
            self._began = True
            delta = {"role": "assistant", "content": "", **delta}
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        self._out.append(event({**self._shared, "choices": [choice]}))

    def _given_out(self) -> bytes:
        given = b"".join(self._out)
        self._out.clear()
        return given


class _Call:
    """A call to a tool that comes in pieces."""

    def __init__(self, call_id: str, name: str, scanner: StreamScanner) -> None:
        self._call_id = call_id
        self._name = name
        self._scanner = scanner
        self._arguments: list[str] = []

    def feed(self, text: str) -> str:
        return self._kept(self._scanner.feed(text) if text else "")

    def finish(self) -> str:
        return self._kept(self._scanner.finish())

    def whole(self) -> dict[str, Any]:
        function = {"name": self._name, "arguments": "".join(self._arguments)}
        return {"id": self._call_id, "type": "function", "function": function}

    def _kept(self, text: str) -> str:
        self._arguments.append(text)
        return text
