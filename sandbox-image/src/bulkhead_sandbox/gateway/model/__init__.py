"""The workspace's model: OpenAI-compatible to both sides, and nothing passes that is not known."""

from bulkhead_sandbox.gateway.model.api import ModelApi
from bulkhead_sandbox.gateway.model.metrics import ModelMetrics
from bulkhead_sandbox.gateway.model.parts import Model, Parts
from bulkhead_sandbox.gateway.model.salt import CacheSalt
from bulkhead_sandbox.gateway.model.upstream import Timeouts, Upstream, model_session

__all__ = [
    "CacheSalt",
    "Model",
    "ModelApi",
    "ModelMetrics",
    "Parts",
    "Timeouts",
    "Upstream",
    "model_session",
]
