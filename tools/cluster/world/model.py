"""Stand-in for an OpenAI-compatible model server: deterministic, no model in it; every answer says so."""

from __future__ import annotations

import hashlib
import json
from typing import Any

NAME = "model-stand-in"
SAYS = "stand-in for tests, no model:"
DIMENSIONS = 64
CREATED = 1767225600  # constant, so that answers can be compared
HEALTH: dict[str, Any] = {"status": "ok", "stand_in": True}
MODELS: dict[str, Any] = {
    "object": "list",
    "data": [{"id": NAME, "object": "model", "created": CREATED, "owned_by": "tests"}],
}
GETS = {"/health": HEALTH, "/v1/health": HEALTH, "/v1/models": MODELS}


def respond(method: str, path: str, body: bytes) -> tuple[int, Any]:
    """(status, JSON reply), or (200, list of server-sent events) when the request asks to stream."""
    route = path.split("?", 1)[0].rstrip("/")
    if method == "GET" and route in GETS:
        return 200, GETS[route]
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return 400, _error("the body is not JSON")
    if method == "POST" and route == "/v1/chat/completions":
        return _chat(request)
    if method == "POST" and route == "/v1/embeddings":
        return 200, _embeddings(request)
    return 404, _error(f"no {method} {route} in this stand-in")


def _error(message: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": None}}


def _text(content: Any) -> str:
    if isinstance(content, list):  # the parts of a multi-modal message
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")


def _chat(request: dict[str, Any]) -> tuple[int, Any]:
    messages = request.get("messages") or []
    asked = _text(messages[-1].get("content")) if messages else ""
    words = f"{SAYS} {asked}".split(" ")
    # Both names of the same limit, the older one last.
    limit = request.get("max_completion_tokens") or request.get("max_tokens")
    finish = "length" if limit is not None and len(words) > int(limit) else "stop"
    words = words[: int(limit)] if limit is not None else words
    prompt = sum(len(_text(message.get("content")).split()) for message in messages)
    usage = {"prompt_tokens": prompt, "completion_tokens": len(words), "total_tokens": prompt + len(words)}
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()[:16]
    shared = {
        "id": f"chatcmpl-{digest}",
        "created": CREATED,
        "model": request.get("model") or NAME,
        "stand_in": True,
    }
    if request.get("stream"):
        wants_usage = bool((request.get("stream_options") or {}).get("include_usage"))
        return 200, _chunks(shared, words, finish, usage if wants_usage else None)
    message = {"role": "assistant", "content": " ".join(words)}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    return 200, {**shared, "object": "chat.completion", "choices": [choice], "usage": usage}


def _chunks(shared: dict[str, Any], words: list[str], finish: str, usage: dict[str, int] | None) -> list[str]:
    def chunk(choices: list[dict[str, Any]], **extra: Any) -> str:
        return json.dumps({**shared, "object": "chat.completion.chunk", "choices": choices, **extra})

    def choice(delta: dict[str, str], reason: str | None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "finish_reason": reason}]

    pieces = [word if not at else f" {word}" for at, word in enumerate(words)]
    events = [chunk(choice({"role": "assistant", "content": ""}, None))]
    events += [chunk(choice({"content": piece}, None)) for piece in pieces]
    events.append(chunk(choice({}, finish)))
    if usage is not None:
        events.append(chunk([], usage=usage))
    return [*events, "[DONE]"]


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
