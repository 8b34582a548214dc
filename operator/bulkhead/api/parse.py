"""From what the API server sends to models: a broken object becomes violations, never an exception.

Identity always parses, so an object whose spec is broken can still be reported on and torn down.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import ValidationError

from bulkhead.api.base import ApiModel
from bulkhead.api.class_checks import class_spec_violations
from bulkhead.api.conditions import Reason
from bulkhead.api.fields import PATTERN_MEANINGS
from bulkhead.api.status import ClassStatus, Condition, WorkspaceStatus
from bulkhead.api.violation import Violation
from bulkhead.api.workspace import WorkspaceSpec
from bulkhead.api.workspace_class import WorkspaceClassSpec
from bulkhead.errors import InvalidValue
from bulkhead.names import DEFAULT_CLASS_ANNOTATION

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["ParsedClass", "ParsedWorkspace", "choose_class", "parse_class", "parse_workspace"]

_Spec = TypeVar("_Spec", bound=ApiModel)
_Status = TypeVar("_Status", WorkspaceStatus, ClassStatus)
_GIVEN_LENGTH: Final = 120
_ALLOWED: Final = {  # pydantic's error type -> what to tell a person
    "missing": "a value; the field is required",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "at least {min_length} characters",
    "too_long": "at most {max_length} entries",
    "too_short": "at least {min_length} entries",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "string_type": "text",
    "tuple_type": "a list",
    "model_type": "an object",
    "value_error": "{error}",
    "enum": "{expected}",
    "timezone_aware": "a time with an offset, such as 2026-12-01T00:00:00Z",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedWorkspace:
    """A TenantWorkspace as read; `spec` is the violations if it cannot be read."""

    name: str
    uid: str
    generation: int
    resource_version: str
    created_at: datetime
    deletion_timestamp: datetime | None
    finalizers: tuple[str, ...]
    annotations: Mapping[str, str]
    spec: WorkspaceSpec | tuple[Violation, ...]
    status: WorkspaceStatus  # what can be read of it; empty if nothing can


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedClass:
    """A WorkspaceClass as read; `spec` is the violations if it cannot be read."""

    name: str
    uid: str
    generation: int
    is_default: bool
    spec: WorkspaceClassSpec | tuple[Violation, ...]
    status: ClassStatus  # as above


def parse_workspace(obj: Mapping[str, Any]) -> ParsedWorkspace:
    """Reads one TenantWorkspace; InvalidValue only if it has no identity, which no API server sends."""
    meta = _metadata(obj)
    deletion = meta.get("deletionTimestamp")
    return ParsedWorkspace(
        name=meta["name"],
        uid=meta["uid"],
        generation=meta.get("generation", 0),
        resource_version=meta.get("resourceVersion", ""),
        created_at=datetime.fromisoformat(meta["creationTimestamp"]),
        deletion_timestamp=datetime.fromisoformat(deletion) if deletion else None,
        finalizers=tuple(meta.get("finalizers") or ()),
        annotations=dict(meta.get("annotations") or {}),
        spec=_spec(WorkspaceSpec, obj.get("spec")),
        status=_status(WorkspaceStatus, obj.get("status")),
    )


def parse_class(obj: Mapping[str, Any]) -> ParsedClass:
    """Reads one WorkspaceClass; raises InvalidValue only if it has no identity."""
    meta = _metadata(obj)
    annotations = meta.get("annotations") or {}
    return ParsedClass(
        name=meta["name"],
        uid=meta["uid"],
        generation=meta.get("generation", 0),
        is_default=annotations.get(DEFAULT_CLASS_ANNOTATION) == "true",
        spec=_class_spec(obj.get("spec")),
        status=_status(ClassStatus, obj.get("status")),
    )


def choose_class(
    class_name: str | None, classes: Mapping[str, ParsedClass]
) -> tuple[str, WorkspaceClassSpec] | Violation:
    """The class by name, or the only default one; UnknownClass: there is none, InvalidSpec: it is broken."""
    existing = ", ".join(sorted(classes)) or "none exists"
    if class_name is None:
        defaults = sorted(name for name, cls in classes.items() if cls.is_default)
        if len(defaults) != 1:
            found = f"{len(defaults)} are: {', '.join(defaults)}" if defaults else "none is"
            return _unknown_class(
                "nothing",
                f"a name, as not exactly one class is annotated {DEFAULT_CLASS_ANNOTATION}=true ({found}); "
                f"classes: {existing}",
            )
        class_name = defaults[0]
    chosen = classes.get(class_name)
    if chosen is None:
        return _unknown_class(class_name, f"the name of a WorkspaceClass: {existing}")
    if isinstance(chosen.spec, tuple):
        return _unknown_class(
            class_name,
            f"a class that can work; this one's {'; '.join(each.message for each in chosen.spec)}",
            reason=Reason.INVALID_SPEC,
        )
    return class_name, chosen.spec


def _unknown_class(given: str, allowed: str, *, reason: Reason = Reason.UNKNOWN_CLASS) -> Violation:
    return Violation(reason, "spec.className", given, allowed)


def _metadata(obj: Mapping[str, Any]) -> Mapping[str, Any]:
    meta = obj.get("metadata")
    if not isinstance(meta, Mapping) or not {"name", "uid", "creationTimestamp"} <= meta.keys():
        raise InvalidValue("metadata", meta, "an object as the API server stores it, with name and uid")
    return meta


def _spec(model: type[_Spec], raw: object) -> _Spec | tuple[Violation, ...]:
    try:
        return model.model_validate({} if raw is None else raw)
    except ValidationError as error:
        return tuple(_violation(details) for details in error.errors(include_url=False))


def _class_spec(raw: object) -> WorkspaceClassSpec | tuple[Violation, ...]:
    spec = _spec(WorkspaceClassSpec, raw)
    return spec if isinstance(spec, tuple) else class_spec_violations(spec) or spec


def _status(model: type[_Status], raw: object) -> _Status:
    """A status is only a memory: what a newer operator or a person wrote into it must not stop this one."""
    if not isinstance(raw, Mapping):
        return model()
    conditions = raw.get("conditions")
    kept = [each for each in conditions if _readable(each)] if isinstance(conditions, Sequence) else []
    try:
        return model.model_validate({**raw, "conditions": kept})
    except ValidationError:
        return model()


def _readable(condition: object) -> bool:
    try:
        Condition.model_validate(condition)
    except ValidationError:
        return False
    return True


def _violation(error: ErrorDetails) -> Violation:
    given = "nothing" if error["type"] == "missing" else _shown(error["input"])
    return Violation(Reason.INVALID_SPEC, _path(error["loc"]), given, _allowed(error))


def _path(location: tuple[int | str, ...]) -> str:
    return "spec" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _shown(value: object) -> str:
    text = value if isinstance(value, str) and value else json.dumps(value, default=str)
    return text if len(text) <= _GIVEN_LENGTH else f"{text[:_GIVEN_LENGTH]}..."


def _allowed(error: ErrorDetails) -> str:
    """Words for people; what the table does not know keeps pydantic's own."""
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch":
        return PATTERN_MEANINGS.get(context["pattern"], f"text matching {context['pattern']}")
    template = _ALLOWED.get(error["type"])
    return template.format(**context) if template else error["msg"][:1].lower() + error["msg"][1:]
