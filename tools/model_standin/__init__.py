"""A stand-in for an OpenAI-compatible model server, without any model: for tests and demo only."""

from model_standin.answers import NAME, Reply, StandIn
from model_standin.server import serving

__all__ = ["NAME", "Reply", "StandIn", "serving"]
