"""What all API models share: frozen, camelCase on the wire, unknown fields ignored, every field described.

Unknown fields are ignored on purpose: an older operator must survive a newer CRD. The API server prunes
them anyway, and strict field validation tells the user. The string under a field is its description: in the
CRD, in `kubectl explain` and in docs/reference.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from pydantic.config import JsonDict

__all__ = ["BY_NAME", "SET", "SHOWN", "ApiModel", "Documented"]

# How server-side apply merges a list (x-kubernetes-list-type); what says nothing is atomic.
SET: JsonDict = {"x-kubernetes-list-type": "set"}
BY_NAME: JsonDict = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
# The API server fills the object in even if it is left out, so that its defaults can be seen and printed.
SHOWN: JsonDict = {"x-shown": True}


class ApiModel(BaseModel):
    """Base of every spec and status model."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        populate_by_name=True,
        use_attribute_docstrings=True,
        ser_json_timedelta="iso8601",
    )


class Documented(StrEnum):
    """An enum of strings whose members carry the text that documents them."""

    documentation: str

    def __new__(cls, value: str, documentation: str) -> Self:
        """The member is the plain string `value`."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.documentation = documentation
        return member
