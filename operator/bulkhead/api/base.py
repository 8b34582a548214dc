"""What all API models share: frozen, camelCase on the wire, unknown fields ignored.

Unknown fields are ignored on purpose: an older operator must survive a newer CRD. The API server prunes them
anyway, and strict field validation tells the user.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

__all__ = ["ApiModel"]


class ApiModel(BaseModel):
    """Base of every spec and status model."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        ser_json_timedelta="iso8601",
    )
