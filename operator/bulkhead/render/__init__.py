"""Pure: what should exist for a workspace."""

from __future__ import annotations

from bulkhead.render.context import RenderContext, SecretValue
from bulkhead.render.render import render
from bulkhead.render.rendered import Manifest, ObjectKey, Rendered, Wave

__all__ = ["Manifest", "ObjectKey", "RenderContext", "Rendered", "SecretValue", "Wave", "render"]
