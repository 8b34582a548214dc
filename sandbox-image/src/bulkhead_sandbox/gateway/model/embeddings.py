"""POST /v1/embeddings: texts become vectors, checked number by number."""

from __future__ import annotations

import sys
from array import array
from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import orjson

from bulkhead_sandbox.gateway.http.answers import json_answer
from bulkhead_sandbox.gateway.http.bodies import json_body
from bulkhead_sandbox.gateway.limits import Estimate
from bulkhead_sandbox.gateway.model.answers import read_vectors
from bulkhead_sandbox.gateway.model.exchange import Asked, exchange
from bulkhead_sandbox.gateway.model.requests import EmbeddingsRequest, read_embeddings
from bulkhead_sandbox.gateway.model.upstream import MAX_ANSWER_BYTES, read_bounded
from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import Callable

    from aiohttp import web

    from bulkhead_sandbox.gateway.http.calls import Call
    from bulkhead_sandbox.gateway.model.parts import Model, Parts

__all__ = ["Embeddings"]

_PATH: Final = "/embeddings"


class Embeddings:
    """Calls of all sessions; `find` gives the model of a name or raises Problem."""

    def __init__(self, parts: Parts, find: Callable[[str], Model]) -> None:
        self._parts = parts
        self._find = find

    async def answer(self, call: Call) -> web.Response:
        """The vectors, or Problem."""
        request = read_embeddings(await json_body(call.request))
        model = self._find(request.model)
        if not model.config.embeddings:
            raise Problem(Slug.UNKNOWN_MODEL, field="model")
        text = orjson.dumps(request.texts)
        given = model.ratio.tokens(len(text))
        _must_fit(request, model)
        asked = Asked(event="embed", estimate=Estimate(given, 0), size=len(text), text=text)
        async with exchange(self._parts, call, model, asked) as made:
            async with model.upstream.post(
                _PATH, _body(request, model), request_id=call.request_id, streams=False
            ) as upstream:
                data = await read_bounded(upstream, MAX_ANSWER_BYTES)
                vectors, counted = read_vectors(data, len(request.texts))
            if counted is not None:
                made.usage = lambda: counted
            made.admission.settle(made.usage())
            tokens = made.usage().input_tokens
            answer = {
                "object": "list",
                "model": model.config.name,
                "data": [
                    {"object": "embedding", "index": index, "embedding": _encoded(vector, request)}
                    for index, vector in enumerate(vectors)
                ],
                "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
            }
            return json_answer(answer, headers=made.admission.headers())


def _must_fit(request: EmbeddingsRequest, model: Model) -> None:
    """Each text alone must fit: servers that cut do so silently."""
    for index, text in enumerate(request.texts):
        tokens = model.ratio.tokens(len(text.encode()))
        if tokens > model.config.context_tokens:
            raise Problem(
                Slug.CONTEXT_TOO_LARGE,
                detail=f"About {tokens} tokens; the model takes {model.config.context_tokens}.",
                field=f"input[{index}]",
            )


def _body(request: EmbeddingsRequest, model: Model) -> bytes:
    body: dict[str, Any] = {
        "model": model.config.upstream_name,
        "input": request.texts,
        "encoding_format": "float",
    }
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return orjson.dumps(body)


def _encoded(vector: list[float], request: EmbeddingsRequest) -> list[float] | str:
    if not request.as_base64:
        return vector
    packed = array("f", vector)
    if sys.byteorder == "big":
        packed.byteswap()
    return b64encode(packed.tobytes()).decode()
