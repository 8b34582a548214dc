"""POST /v1/chat/completions: one conversation goes on, whole or as a stream."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import orjson
from aiohttp import hdrs, web

from bulkhead_sandbox.gateway.content import framed, new_marker, reserved
from bulkhead_sandbox.gateway.http.answers import json_answer
from bulkhead_sandbox.gateway.http.bodies import json_body
from bulkhead_sandbox.gateway.limits import Estimate, Usage
from bulkhead_sandbox.gateway.limits.estimates import tokens_of_bytes
from bulkhead_sandbox.gateway.model.answers import Answer, read_answer, usage_json
from bulkhead_sandbox.gateway.model.events import event
from bulkhead_sandbox.gateway.model.exchange import Asked, ClientLeft, Exchange, exchange
from bulkhead_sandbox.gateway.model.relay import Relay
from bulkhead_sandbox.gateway.model.requests import ChatRequest, read_chat
from bulkhead_sandbox.gateway.model.upstream import MAX_ANSWER_BYTES, read_bounded
from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import Callable

    import aiohttp

    from bulkhead_sandbox.gateway.http.calls import Call
    from bulkhead_sandbox.gateway.model.parts import Model, Parts

__all__ = ["SESSION_HEADER", "Chat"]

SESSION_HEADER: Final = "X-Bulkhead-Session"
_PATH: Final = "/chat/completions"
_PRINTED: Final[tuple[str, ...]] = ("tools", "response_format")  # by chat templates, into the prompt
_READ_OUT_SECONDS: Final = 0.05


class Chat:
    """Calls of all sessions; `find` gives the model of a name or raises Problem."""

    def __init__(self, parts: Parts, find: Callable[[str], Model]) -> None:
        self._parts = parts
        self._find = find

    async def answer(self, call: Call) -> web.StreamResponse:
        """The model's answer, or Problem."""
        started = self._parts.clock()
        request = read_chat(await json_body(call.request))
        model = self._find(request.model)
        printed = {name: request.passed[name] for name in _PRINTED if name in request.passed}
        field = reserved(request.messages, printed)
        if field is not None:
            raise Problem(Slug.RESERVED_CONTENT, field=field)
        turn = _Turn(self._parts, call, request, model, await self._history(call))
        try:
            async with exchange(self._parts, call, model, turn.asked()) as made:
                body = turn.body(made.admission.output_cap)
                asked_at = self._parts.clock()
                async with model.upstream.post(
                    _PATH, body, request_id=call.request_id, streams=request.stream
                ) as upstream:
                    if request.stream:
                        self._parts.metrics.overhead_seconds.observe(asked_at - started)
                        return await turn.stream(made, upstream)
                    answered = await turn.whole(made, upstream)
                made.admission.settle(made.usage())
                waited = turn.read_at - asked_at
                self._parts.metrics.overhead_seconds.observe(self._parts.clock() - started - waited)
                return json_answer(answered, headers=made.admission.headers())
        except ClientLeft:
            return turn.response
        except Problem as problem:
            if not turn.response.prepared:
                raise
            return await turn.fail(problem)

    async def _history(self, call: Call) -> list[dict[str, Any]]:
        handle = call.request.headers.get(SESSION_HEADER)
        return [] if handle is None else await self._parts.history.messages(call.claims.subject, handle)


class _Turn:
    """One question and its answer."""

    def __init__(
        self, parts: Parts, call: Call, request: ChatRequest, model: Model, past: list[dict[str, Any]]
    ) -> None:
        self._parts = parts
        self._call = call
        self._request = request
        self._model = model
        self._handle = call.request.headers.get(SESSION_HEADER)
        subject, session = call.claims.subject, self._handle or call.claims.session_id
        self._messages = framed(
            [*past, *request.messages],
            tag_message=parts.tags.system_message(subject, session),
            marker=new_marker(parts.random_bytes(16)),
        )
        # What the model reads; counted as it is sent, so that nothing in it is free.
        counted = {name: request.passed[name] for name in _PRINTED if name in request.passed}
        self._text = orjson.dumps([self._messages, counted])
        self._given_tokens = model.ratio.tokens(len(self._text))
        self._shared = {
            "id": f"chatcmpl-{call.request_id}",
            "created": int(parts.wall()),
            "model": model.config.name,
        }
        self.read_at = 0.0
        self.response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: "text/event-stream",
                hdrs.CACHE_CONTROL: "no-store",
                "X-Content-Type-Options": "nosniff",
                "X-Request-Id": call.request_id,
            }
        )

    def asked(self) -> Asked:
        """Problem(CONTEXT_TOO_LARGE) if it cannot fit: nothing is ever cut to make it."""
        config = self._model.config
        room = config.context_tokens - self._given_tokens
        if room < 1:
            raise Problem(
                Slug.CONTEXT_TOO_LARGE,
                detail=f"About {self._given_tokens} tokens with what the gateway adds; "
                f"the model takes {config.context_tokens}, its answer included.",
            )
        wanted = min(self._request.output_tokens or config.max_output_tokens, config.max_output_tokens, room)
        return Asked(
            event="chat",
            estimate=Estimate(self._given_tokens, wanted),
            size=len(self._text),
            text=self._text,
        )

    def body(self, output_cap: int) -> bytes:
        """The request as the server gets it: known fields, and what only the gateway may say."""
        config, stream = self._model.config, self._request.stream
        body = {
            **self._request.passed,
            "model": config.upstream_name,
            "messages": self._messages,
            "max_tokens": output_cap,
            "n": 1,
            "stream": stream,
        }
        if stream:
            body["stream_options"] = {"include_usage": True}
        if config.cache_salt:
            body["cache_salt"] = self._parts.salt.current()
        return orjson.dumps(body)

    async def whole(self, made: Exchange, upstream: aiohttp.ClientResponse) -> dict[str, Any]:
        """The answer as JSON."""
        data = await read_bounded(upstream, MAX_ANSWER_BYTES)
        self.read_at = self._parts.clock()
        # Whatever is wrong with it: so much was made.
        made.usage = lambda: Usage(self._given_tokens, tokens_of_bytes(len(data)), estimated=True)
        answer = read_answer(data)
        usage = answer.usage or self._guess(answer)
        made.usage = lambda: usage
        message = self._safe(answer)
        made.said = orjson.dumps(message)
        made.outcome = "truncated" if answer.finish == "length" else "allow"
        await self._remember(message)
        choice = {"index": 0, "message": message, "finish_reason": answer.finish, "logprobs": None}
        return {
            **self._shared,
            "object": "chat.completion",
            "choices": [choice],
            "usage": usage_json(usage),
        }

    async def stream(self, made: Exchange, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
        """The answer as events; once the first is out, a problem is an event as well."""
        relay = Relay(
            self._shared,
            self._parts.scanner,
            self._call.claims.subject,
            output_cap=made.admission.output_cap,
            input_tokens=self._given_tokens,
            wants_usage=self._request.wants_usage,
        )
        made.usage = relay.usage
        self.response.headers.update(made.admission.headers())
        asked_at = self._parts.clock()
        try:
            async for data in upstream.content.iter_any():
                if not self.response.prepared:
                    self._parts.metrics.ttft_seconds.observe(self._parts.clock() - asked_at)
                await self._give(relay.feed(data), relay)
                if relay.done:
                    break
            else:
                await self._give(relay.end(), relay)
        finally:
            made.said = orjson.dumps(relay.message())
        made.outcome = "truncated" if relay.finish == "length" else "allow"
        await self._write(None)
        if not relay.cut:
            await _read_out(upstream)
        return self.response

    async def fail(self, problem: Problem) -> web.StreamResponse:
        """Tell a client whose stream has begun: the problem, also in the form that OpenAI's clients know."""
        told = orjson.loads(problem.body(self._call.request_id))
        with suppress(ClientLeft):
            await self._write(b"event: error\n" + event(told))
            await self._write(None)
        return self.response

    async def _give(self, data: bytes, relay: Relay) -> None:
        if relay.done:
            await self._remember(relay.message())  # before the client can know, and go on
        if data:
            if not self.response.prepared:
                await self.response.prepare(self._call.request)
            await self._write(data)

    async def _write(self, data: bytes | None) -> None:
        """Send to the client; None: that was all."""
        try:
            if data is None:
                await self.response.write_eof()
            else:
                await self.response.write(data)
        except ConnectionError as error:
            raise ClientLeft from error

    async def _remember(self, message: dict[str, Any]) -> None:
        if self._handle is None:
            return
        history, subject = self._parts.history, self._call.claims.subject
        gone = await history.append(subject, self._handle, [*self._request.messages, message])
        if gone:
            await self._parts.audit.point(
                "memory", "truncated", why="oldest-turns-gone", target={"turns": gone}, **self._call.who
            )

    def _safe(self, answer: Answer) -> dict[str, Any]:
        """The message, looked through; UnsafeOutput."""
        scan, subject = self._parts.scanner.text, self._call.claims.subject
        content = None if answer.content is None else scan(answer.content, subject)
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if answer.tool_calls:
            message["tool_calls"] = [
                {
                    "id": scan(part.call_id or "", subject),
                    "type": "function",
                    "function": {
                        "name": scan(part.name or "", subject),
                        "arguments": scan(part.arguments, subject),
                    },
                }
                for part in answer.tool_calls
            ]
        return message

    def _guess(self, answer: Answer) -> Usage:
        said = [answer.content or "", *(part.arguments for part in answer.tool_calls)]
        size = sum(len(text.encode()) for text in said)
        return Usage(self._given_tokens, tokens_of_bytes(size), estimated=True)


async def _read_out(upstream: aiohttp.ClientResponse) -> None:
    """The body's end comes right behind its last event; read, it leaves a connection that can be kept."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_READ_OUT_SECONDS):
            while not upstream.content.at_eof():
                await upstream.content.readany()
