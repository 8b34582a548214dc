"""Frozen dataclasses from JSON: every field known, present and of its type, or an error that names it.

Config, request bodies and tool arguments are all read this way, and a tool's JSON Schema is written from the
very dataclass that reads its arguments, so the two cannot disagree.
"""

from __future__ import annotations

import dataclasses
import types
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

__all__ = ["Bounds", "Doc", "ShapeError", "decode", "json_schema"]

T = TypeVar("T")
_MISSING = dataclasses.MISSING


class ShapeError(ValueError):
    """A value that does not fit: `field` is its path, `problem` what is wrong; never the value itself."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Bounds:
    """Least and most: of an integer's value, a text's characters, a list's items."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Doc:
    """What a caller should know of a field."""

    text: str


@dataclass(frozen=True, slots=True)
class _Member:
    hint: Any  # without Annotated
    bounds: Bounds | None
    doc: str | None
    default: Any  # MISSING: required


def decode(cls: type[T], value: Any, at: str = "") -> T:
    """The dataclass `cls` whose fields are exactly those of the JSON object `value`; otherwise ShapeError."""
    if not isinstance(value, dict):
        raise ShapeError(at or "(top)", "must be an object")
    members = _members(cls)  # type: ignore[arg-type] # mypy: a class is no Hashable
    for name in value:
        if name not in members:
            raise ShapeError(_path(at, str(name)[:64]), "is not a field here")
    return cls(
        **{name: _field(member, value, name, _path(at, name)) for name, member in members.items()},
    )


def json_schema(cls: type[Any]) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what `decode` accepts for `cls`."""
    members = _members(cls)  # type: ignore[arg-type] # as above
    return {
        "type": "object",
        "properties": {name: _schema(member) for name, member in members.items()},
        "required": [name for name, member in members.items() if member.default is _MISSING],
        "additionalProperties": False,
    }


@cache
def _members(cls: Any) -> dict[str, _Member]:
    hints = get_type_hints(cls, include_extras=True)
    members = {}
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        members[field.name] = _Member(
            hint=get_args(hint)[0] if notes else hint,
            bounds=next((note for note in notes if isinstance(note, Bounds)), None),
            doc=next((note.text for note in notes if isinstance(note, Doc)), None),
            default=field.default,
        )
    return members


def _path(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name


def _field(member: _Member, value: dict[str, Any], name: str, at: str) -> Any:
    if name in value:
        return _read(member.hint, member.bounds, value[name], at)
    if member.default is _MISSING:
        raise ShapeError(at, "is missing")
    return member.default


def _read(hint: Any, bounds: Bounds | None, value: Any, at: str) -> Any:  # noqa: PLR0911 - one line a kind
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:  # only ever `X | None`
        inner = next(arg for arg in get_args(hint) if arg is not type(None))
        return None if value is None else _read(inner, bounds, value, at)
    if origin is tuple:
        _check(isinstance(value, list), at, "must be a list")
        _check_bounds(bounds, len(value), at, "items")
        return tuple(_read(get_args(hint)[0], None, item, f"{at}[{i}]") for i, item in enumerate(value))
    if origin is Literal:
        _check(value in get_args(hint), at, f"must be one of {', '.join(get_args(hint))}")
        return value
    if dataclasses.is_dataclass(hint):
        return decode(cast("type[Any]", hint), value, at)
    if hint is str:
        _check(isinstance(value, str), at, "must be text")
        _check_bounds(bounds, len(value), at, "characters")
        return value
    if hint is int:
        _check(type(value) is int, at, "must be an integer")
        _check_bounds(bounds, value, at, "")
        return value
    if hint is bool:
        _check(isinstance(value, bool), at, "must be true or false")
        return value
    _check(isinstance(value, dict), at, "must be an object")  # dict[str, Any]: free-form
    return value


def _check(holds: bool, at: str, problem: str) -> None:  # noqa: FBT001 - reads as the sentence it is
    if not holds:
        raise ShapeError(at, problem)


def _check_bounds(bounds: Bounds | None, size: int, at: str, unit: str) -> None:
    if bounds is not None:
        allowed = f"must be {bounds.least} to {bounds.most} {unit}".rstrip()
        _check(bounds.least <= size <= bounds.most, at, allowed)


def _schema(member: _Member) -> dict[str, Any]:
    schema = _schema_of(member.hint, member.bounds)
    if member.doc is not None:
        schema["description"] = member.doc
    if member.default is not _MISSING and member.default is not None:
        schema["default"] = list(member.default) if isinstance(member.default, tuple) else member.default
    return schema


def _schema_of(hint: Any, bounds: Bounds | None) -> dict[str, Any]:
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        inner = next(arg for arg in get_args(hint) if arg is not type(None))
        schema = _schema_of(inner, bounds)
        return {**schema, "type": [schema["type"], "null"]}
    if origin is Literal:
        return {"type": "string", "enum": list(get_args(hint))}
    if origin is tuple:
        items = _schema_of(get_args(hint)[0], None)
        return {"type": "array", "items": items, **_limits(bounds, "minItems", "maxItems")}
    if hint is str:
        return {"type": "string", **_limits(bounds, "minLength", "maxLength")}
    if hint is int:
        return {"type": "integer", **_limits(bounds, "minimum", "maximum")}
    return {"type": "boolean" if hint is bool else "object"}


def _limits(bounds: Bounds | None, least: str, most: str) -> dict[str, int]:
    return {} if bounds is None else {least: bounds.least, most: bounds.most}
