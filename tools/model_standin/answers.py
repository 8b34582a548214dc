"""What the stand-in answers: deterministic, no model in it; every answer says so.

The model's name asks for misbehaviour: `model-stand-in:context:slow` echoes its whole context, slowly. So a
class of workspaces chooses it, and nobody who can only send messages does. Standard library only: it also
runs where nothing is installed.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from model_standin.prefixes import PrefixCache

NAME = "model-stand-in"
SAYS = "stand-in for tests, no model:"
OWNER = "tests and demo only: there is no model here"
DIMENSIONS = 64
CREATED = 1767225600  # constant, so that answers can be compared
PAUSE_SECONDS = 0.05
BEHAVIOURS = {
    "context": "echoes every message it was sent, the system's too: the worst a model can do",
    "slow": f"waits {PAUSE_SECONDS} s before each piece",
    "split": "writes each piece in two, in the middle of a character where there is one",
    "nousage": "never says how many tokens there were",
    "break": "hangs up half way",
    "stall": "falls silent half way and keeps the connection",
    "mute": "accepts the request and never answers",
    "garbage": "answers what is no chat completion",
    "error": "answers 500 and quotes the request's credentials",
    "busy": "answers 429",
    "full": "answers 400, as servers do whose context is too small",
    "overlong": "ignores every limit on its output",
    "huge": "sends events and bodies of 8 MiB",
    "tool": "calls the first tool that it is offered",
}
HUGE_BYTES = 8 << 20
HEALTH: dict[str, Any] = {"status": "ok", "stand_in": True}
MODELS: dict[str, Any] = {
    "object": "list",
    "stand_in": True,
    "data": [{"id": NAME, "object": "model", "created": CREATED, "owned_by": OWNER}],
}
GETS = {"/health": HEALTH, "/v1/health": HEALTH, "/v1/models": MODELS}


@dataclass(frozen=True)
class Reply:
    """An HTTP answer in pieces; `end` is what happens after half of them, or after all."""

    status: int
    pieces: list[bytes]
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    pause_seconds: float = 0
    end: Literal["done", "break", "stall", "mute"] = "done"

    @property
    def streams(self) -> bool:
        """Whether the pieces are events, each sent when it is there."""
        return self.content_type == "text/event-stream"


class StandIn:
    """The server's memory: what it counted, and the prefixes that it has seen."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.prefixes = PrefixCache()

    def respond(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        """The answer to one request; names of `headers` in lower case."""
        route = path.split("?", 1)[0].rstrip("/")
        if method == "GET" and route in GETS:
            return _json(200, GETS[route])
        if method == "GET" and route == "/metrics":
            return Reply(200, [self._metrics()], content_type="text/plain; version=0.0.4")
        if method != "POST" or route not in {"/v1/chat/completions", "/v1/embeddings"}:
            return _json(404, _error(f"no {method} {route} in this stand-in"))
        self.counts[f"requests{{route={route!r}}}".replace("'", '"')] += 1
        try:
            request = json.loads(body or b"{}")
        except ValueError:
            return _json(400, _error("the body is not JSON"))
        if route == "/v1/embeddings":
            return _json(200, _embeddings(request))
        return self._chat(request, headers)

    def _chat(self, request: dict[str, Any], headers: dict[str, str]) -> Reply:
        behaviour = set(str(request.get("model")).split(":")[1:])
        refusal = _refusal(behaviour, headers)
        if refusal is not None:
            return refusal
        messages = request.get("messages") or []
        prompt = [word for message in messages for word in _text(message.get("content")).split()]
        cached = self.prefixes.visit(str(request.get("cache_salt") or ""), prompt)
        self.counts["prefix_cache_hit_tokens"] += cached
        self.counts["prompt_tokens"] += len(prompt)
        answer = _Answer(request, behaviour, len(prompt), cached)
        pieces = answer.events() if request.get("stream") else [answer.whole()]
        if "split" in behaviour:
            pieces = [half for piece in pieces for half in _halves(piece)]
        return Reply(
            200,
            pieces,
            content_type="text/event-stream" if request.get("stream") else "application/json",
            headers={"X-Stand-In-Cached-Tokens": str(cached)},
            pause_seconds=PAUSE_SECONDS if "slow" in behaviour else 0,
            end="break" if "break" in behaviour else "stall" if "stall" in behaviour else "done",
        )

    def _metrics(self) -> bytes:
        lines = (f"stand_in_{name} {value}\n" for name, value in sorted(self.counts.items()))
        return "".join(lines).encode()


def _refusal(behaviour: set[str], headers: dict[str, str]) -> Reply | None:
    if "mute" in behaviour:
        return Reply(200, [], end="mute")
    if "error" in behaviour:
        return _json(500, _error(f"internal error while serving {headers.get('authorization')}"))
    if "busy" in behaviour:
        return _json(429, _error("too many requests"))
    if "full" in behaviour:
        message = "This model's maximum context length is 16 tokens. Please reduce your prompt."
        return _json(400, _error(message, code="context_length_exceeded"))
    return None


class _Answer:
    """One chat completion, whole or as events."""

    def __init__(self, request: dict[str, Any], behaviour: set[str], prompt: int, cached: int) -> None:
        self._request = request
        self._behaviour = behaviour
        messages = request.get("messages") or []
        said = [_text(message.get("content")) for message in messages]
        asked = "\n".join(said) if "context" in behaviour else "".join(said[-1:])
        words = f"{SAYS} {asked}".split(" ")
        # Both names of the same limit, the older one last.
        limit = request.get("max_completion_tokens") or request.get("max_tokens")
        if "overlong" in behaviour:
            words *= 1 + 4 * int(limit or 256) // len(words)
            limit = None
        self._finish = "length" if limit is not None and len(words) > int(limit) else "stop"
        self._words = words[: int(limit)] if limit is not None else words
        tools = request.get("tools") or []
        self._tool = str(tools[0]["function"]["name"]) if tools and "tool" in behaviour else None
        self._usage: dict[str, Any] = {
            "prompt_tokens": prompt,
            "completion_tokens": len(self._words),
            "total_tokens": prompt + len(self._words),
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
        self._shared = {
            "id": f"chatcmpl-{digest}",
            "created": CREATED,
            "model": request.get("model") or NAME,
            "stand_in": True,
        }

    def whole(self) -> bytes:
        """The JSON answer."""
        if "garbage" in self._behaviour:
            return b'{"choices": "none"}'
        message: dict[str, Any] = {"role": "assistant", "content": " ".join(self._words)}
        finish = self._finish
        if self._tool is not None:
            message, finish = self._tool_call(), "tool_calls"
        if "huge" in self._behaviour:
            message["content"] = "x" * HUGE_BYTES
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        body = {**self._shared, "object": "chat.completion", "choices": [choice]}
        return _dump(body if "nousage" in self._behaviour else {**body, "usage": self._usage})

    def events(self) -> list[bytes]:
        """The answer as server-sent events."""
        if "garbage" in self._behaviour:
            return [_event("{no json")]
        if self._tool is not None:
            call = self._tool_call()
            return [
                self._chunk(call | {"tool_calls": [{"index": 0, **call["tool_calls"][0]}]}),
                self._chunk({}, "tool_calls"),
                *self._last(),
            ]
        pieces = [word if not at else f" {word}" for at, word in enumerate(self._words)]
        if "huge" in self._behaviour:
            pieces = ["x" * HUGE_BYTES]
        return [
            self._chunk({"role": "assistant", "content": ""}),
            *(self._chunk({"content": piece}) for piece in pieces),
            self._chunk({}, self._finish),
            *self._last(),
        ]

    def _last(self) -> list[bytes]:
        wanted = (self._request.get("stream_options") or {}).get("include_usage")
        chunk: dict[str, Any] = {**self._shared, "object": "chat.completion.chunk", "choices": []}
        body = chunk | {"usage": self._usage}
        usage = [_event(_dump(body).decode())] if wanted and "nousage" not in self._behaviour else []
        return [*usage, _event("[DONE]")]

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        body = {**self._shared, "object": "chat.completion.chunk", "choices": choices}
        return _event(_dump(body).decode())

    def _tool_call(self) -> dict[str, Any]:
        function = {"name": self._tool, "arguments": json.dumps({"text": " ".join(self._words)})}
        call = {"id": "call_0", "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}


def _json(status: int, value: Any) -> Reply:
    return Reply(status, [_dump(value) + b"\n"])


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _event(data: str) -> bytes:
    return f"data: {data}\n\n".encode()


def _halves(piece: bytes) -> tuple[bytes, bytes]:
    """Two parts; the cut is inside the first character of several bytes."""
    at = next((at for at, byte in enumerate(piece) if byte >= 0xC0), len(piece) // 2) + 1
    return piece[:at], piece[at:]


def _error(message: str, code: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code}}


def _text(content: Any) -> str:
    if isinstance(content, list):  # the parts of a multi-modal message
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _embeddings(request: dict[str, Any]) -> dict[str, Any]:
    asked = request.get("input")
    texts = asked if isinstance(asked, list) else [asked]
    count = int(request.get("dimensions") or DIMENSIONS)
    data = [
        {"object": "embedding", "index": at, "embedding": embed(str(text), count)}
        for at, text in enumerate(texts)
    ]
    tokens = sum(len(str(text).split()) for text in texts)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {
        "object": "list",
        "data": data,
        "model": request.get("model") or NAME,
        "usage": usage,
        "stand_in": True,
    }


def embed(text: str, dimensions: int) -> list[float]:
    """A unit vector that depends on the words alone: texts that share words are near each other."""
    vector = [0.0] * dimensions
    for word in text.lower().split() or [""]:
        digest = hashlib.sha256(word.encode()).digest()
        vector[int.from_bytes(digest[:4], "big") % dimensions] += 1.0 if digest[4] & 1 else -1.0
    length = sum(value * value for value in vector) ** 0.5 or 1.0
    return [value / length for value in vector]
