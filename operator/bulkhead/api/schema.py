"""Structural OpenAPI schemas, as Kubernetes wants them, from pydantic models.

What pydantic writes is refused by the API server for almost every model, so: $defs are inlined, "or null"
becomes optional, quantities become int-or-string, and each list says how server-side apply merges it. What
has no structural form is an error here rather than there; so is a string, list or map without a bound: the
cost estimate of CEL needs one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Schema", "structural_schema"]

Schema = dict[str, Any]
_Definitions = Mapping[str, Schema]

_KEPT: Final = (
    "description",
    "type",
    "format",
    "default",
    "enum",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "required",
    "properties",
    "additionalProperties",
    "items",
    "anyOf",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)
_DROPPED: Final = ("title", "$defs", "x-shown")
_TIME_LENGTH: Final = 40  # RFC 3339 with nanoseconds and an offset has 35


def structural_schema(model: type[BaseModel], *, defaults: bool = True) -> Schema:
    """The schema of a model in the API server's dialect; `defaults=False` for a status.

    Raises ValueError, naming the path, for anything that the API server would refuse or that has no bound.
    """
    raw = model.model_json_schema(by_alias=True, mode="validation")
    return _converted(raw, raw.get("$defs", {}), defaults=defaults, path=model.__name__)


def _converted(node: Schema, definitions: _Definitions, *, defaults: bool, path: str) -> Schema:
    node = _resolved(node, definitions, path)
    unknown = node.keys() - set(_KEPT) - set(_DROPPED)
    if unknown:
        raise ValueError(f"{path}: no structural form for {sorted(unknown)}")
    schema: Schema = {key: node[key] for key in _KEPT if key in node}
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    if not defaults or not _is_visible(schema.get("default")):
        schema.pop("default", None)
    if schema.get("x-kubernetes-int-or-string"):
        del schema["type"]
        schema["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    _require_bounds(schema, path)
    if "properties" in schema:
        schema["properties"] = {
            name: _converted(child, definitions, defaults=defaults, path=f"{path}.{name}")
            for name, child in schema["properties"].items()
        }
        if defaults and node.get("x-shown"):  # spelled out: the server judges it before it fills anything in
            children = schema["properties"].items()
            schema["default"] = {name: child["default"] for name, child in children if "default" in child}
    if "items" in schema:
        # No defaults inside lists: client-side apply replaces lists whole, so every repeat would be a change.
        schema["items"] = _converted(schema["items"], definitions, defaults=False, path=f"{path}[]")
        schema.setdefault("x-kubernetes-list-type", "atomic")
    if isinstance(schema.get("additionalProperties"), dict):
        values = schema["additionalProperties"]
        schema["additionalProperties"] = _converted(
            values, definitions, defaults=defaults, path=f"{path}{{}}"
        )
    return {key: schema[key] for key in _KEPT if key in schema}


def _resolved(node: Schema, definitions: _Definitions, path: str) -> Schema:
    """The node with its reference inlined and "or null" taken away; what the field says beats its type."""
    own = {key: value for key, value in node.items() if key not in {"$ref", "anyOf"}}
    if "$ref" in node:
        name = node["$ref"].removeprefix("#/$defs/")
        if path.count(".") > 20:
            raise ValueError(f"{path}: recursive models have no structural form")
        return {**_resolved(definitions[name], definitions, path), **own}
    if "anyOf" in node:
        options = [option for option in node["anyOf"] if option != {"type": "null"}]
        if len(options) != 1:
            raise ValueError(f"{path}: a union of several types has no structural form")
        return {**_resolved(options[0], definitions, path), **own}
    return node


def _is_visible(default: object) -> bool:
    """Whether a default belongs into the stored object: "nothing" and nested models' own do not."""
    return default not in (None, "", []) and not isinstance(default, dict)


def _require_bounds(schema: Schema, path: str) -> None:
    if schema.get("format") == "date-time":
        schema["maxLength"] = _TIME_LENGTH
    bound = {"string": "maxLength", "array": "maxItems", "integer": "minimum"}.get(schema.get("type", ""))
    if "additionalProperties" in schema:
        bound = "maxProperties"
    if bound is not None and bound not in schema and "enum" not in schema:
        raise ValueError(f"{path}: needs {bound}")
