"""The model, for sessions: what OpenAI's clients speak, within what the class allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkhead_sandbox.gateway.http.answers import json_answer
from bulkhead_sandbox.gateway.http.calls import Call, Route
from bulkhead_sandbox.gateway.limits import NO_TOKENS
from bulkhead_sandbox.gateway.model.chat import Chat
from bulkhead_sandbox.gateway.model.embeddings import Embeddings
from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiohttp import web

    from bulkhead_sandbox.gateway.model.parts import Model, Parts

__all__ = ["ModelApi"]


class ModelApi:
    """The routes of models."""

    def __init__(self, models: Iterable[Model], parts: Parts) -> None:
        self._models = {model.config.name: model for model in models}
        self._parts = parts
        self._chat = Chat(parts, self._model)
        self._embeddings = Embeddings(parts, self._model)

    def routes(self) -> tuple[Route, ...]:
        """For the surface."""
        return (
            Route(method="GET", path="/v1/models", scope="chat", handler=self._list),
            Route(method="POST", path="/v1/chat/completions", scope="chat", handler=self._chat.answer),
            Route(method="POST", path="/v1/embeddings", scope="embed", handler=self._embeddings.answer),
        )

    async def _list(self, call: Call) -> web.Response:
        with self._parts.limiter.admit(call.claims.subject, NO_TOKENS, call.claims.limits) as admission:
            listed = [
                {
                    "id": name,
                    "object": "model",
                    "created": 0,
                    "owned_by": "bulkhead",
                    "context_tokens": model.config.context_tokens,
                    "max_output_tokens": model.config.max_output_tokens,
                    "embeddings": model.config.embeddings,
                }
                for name, model in self._models.items()
            ]
            return json_answer({"object": "list", "data": listed}, headers=admission.headers())

    def _model(self, name: str) -> Model:
        model = self._models.get(name)
        if model is None:
            raise Problem(Slug.UNKNOWN_MODEL, field="model")
        return model
