"""Reference pages in Markdown: every field, condition, reason, Event and built-in default."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.api.builtin import BUILTIN_QUOTA, BUILTIN_RATES, BUILTIN_RESOURCES, TENANT_FACTOR
from bulkhead.api.conditions import CLASS_CONDITIONS, WORKSPACE_CONDITIONS, Reason
from bulkhead.api.crd import custom_resource_definitions
from bulkhead.api.events import EventReason
from bulkhead.api.ranges import ALWAYS_DENIED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from bulkhead.api.conditions import ConditionType
    from bulkhead.api.schema import Schema

__all__ = ["reference_pages"]

# Kind -> annotation that people put on it -> what it does. All else that they may say is in the spec.
_ANNOTATIONS: Final = {
    names.WORKSPACE_KIND: {
        names.ROTATE_KEY_ANNOTATION: (
            "Another value, such as a date, asks for another signing key: the new public key is published "
            "first, so no session drops."
        ),
    },
    names.CLASS_KIND: {
        names.DEFAULT_CLASS_ANNOTATION: (
            "`true`: the class of workspaces that name none. Counts only while exactly one class has it."
        ),
    },
}

_NOTE = "<!-- Generated from operator/bulkhead/api by `make generate`; do not edit. -->\n"


def reference_pages() -> dict[str, str]:
    """Path -> text of every page below docs/reference."""
    pages = {
        "conditions": _conditions(),
        "defaults": _defaults(),
        "events": _events(),
        **{crd["spec"]["names"]["singular"]: _fields(crd) for crd in custom_resource_definitions()},
    }
    return {f"docs/reference/{name}.md": f"{_NOTE}\n{text}" for name, text in pages.items()}


def _fields(crd: Schema) -> str:
    kind, short = crd["spec"]["names"]["kind"], crd["spec"]["names"]["shortNames"][0]
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    sections = [
        f"# {kind}",
        schema["description"],
        f"`{names.API_VERSION}`, cluster-scoped, short name `{short}`; also `kubectl explain {short}.spec`.",
        *(_rules(rule["message"] for rule in schema.get("x-kubernetes-validations", ()))),
    ]
    annotations = ((f"`{name}`", text) for name, text in _ANNOTATIONS[kind].items())
    sections += ["## Annotations", _table(("annotation", "meaning"), annotations)]
    for part in ("spec", "status"):
        if part in schema["properties"]:
            sections += _object(part, schema["properties"][part])
    return "\n\n".join(sections) + "\n"


def _object(path: str, schema: Schema) -> Iterator[str]:
    """One section an object: a table of its fields, its rules, then the objects below it."""
    yield f"## {path}"
    if "description" in schema:
        yield schema["description"]
    required = set(schema.get("required", ()))
    yield _table(
        ("field", "type", "bounds", "description"),
        (
            (
                f"`{name}`" + (" (required)" if name in required else ""),
                _type(child),
                _bounds(child),
                child["description"],
            )
            for name, child in schema["properties"].items()
        ),
    )
    yield from _rules(rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
    for name, child in schema["properties"].items():
        inner, below = (child["items"], f"{path}.{name}[]") if "items" in child else (child, f"{path}.{name}")
        if "properties" in inner:
            yield from _object(below, inner)


def _rules(messages: Iterable[str]) -> Iterator[str]:
    listed = [f"- {message}" for message in messages]
    if listed:
        yield "The API server refuses an object with one of these messages:\n\n" + "\n".join(listed)


def _type(schema: Schema) -> str:
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    if "additionalProperties" in schema:
        return f"map to {_type(schema['additionalProperties'])}"
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    if "enum" in schema:
        return " or ".join(schema["enum"])
    return "time" if schema.get("format") == "date-time" else str(schema["type"])


def _bounds(schema: Schema) -> str:
    words = {
        "minimum": "at least {}",
        "maximum": "at most {}",
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "minItems": "at least {} entries",
        "maxItems": "at most {} entries",
        "minProperties": "at least {} entries",
        "maxProperties": "at most {} entries",
    }
    listed = [text.format(schema[key]) for key, text in words.items() if key in schema and schema[key] != 0]
    if "default" in schema:
        listed.append(f"default `{json.dumps(schema['default'])}`")
    listed += [
        rule["message"] for rule in schema.get("x-kubernetes-validations", ()) if "properties" not in schema
    ]
    return ", ".join(listed)


def _conditions() -> str:
    return (
        "\n\n".join(
            [
                "# Conditions",
                (
                    "Every TenantWorkspace carries these in `status.conditions`; tools that know kstatus "
                    "(kubectl, Argo CD, Flux) read Ready, Reconciling and Stalled."
                ),
                _condition_table(WORKSPACE_CONDITIONS, "tws/NAME"),
                "A WorkspaceClass carries these two.",
                _condition_table(CLASS_CONDITIONS, "wsc/NAME"),
                "## Reasons",
                "The reason of a condition is one of these, and no other.",
                _table(("reason", "meaning"), ((f"`{each}`", each.documentation) for each in Reason)),
            ]
        )
        + "\n"
    )


def _condition_table(meanings: Mapping[ConditionType, str], target: str) -> str:
    return _table(
        ("type", "meaning when True", "wait for it"),
        (
            (f"`{each}`", meaning, f"`kubectl wait --for=condition={each} {target}`")
            for each, meaning in meanings.items()
        ),
    )


def _events() -> str:
    return (
        "\n\n".join(
            [
                "# Events",
                "`kubectl events --for tws/NAME`, or `wsc/NAME`, lists what the operator did and found.",
                _table(
                    ("reason", "type", "meaning"),
                    ((f"`{each}`", str(each.type), each.documentation) for each in EventReason),
                ),
            ]
        )
        + "\n"
    )


def _defaults() -> str:
    quota = BUILTIN_QUOTA.model_dump(by_alias=True)
    rates = BUILTIN_RATES.model_dump(by_alias=True)
    return (
        "\n\n".join(
            [
                "# Built-in defaults",
                "What a workspace gets where neither its spec nor its class says anything.",
                "## Quota",
                _table(("key", "value"), ((f"`{key}`", f"`{value}`") for key, value in quota.items())),
                "## Limits",
                _table(
                    ("key", "`perUser`", "`tenant`"),
                    (
                        (
                            f"`{key}`",
                            f"`{value}`",
                            f"{TENANT_FACTOR} times the user's: `{value * TENANT_FACTOR}`",
                        )
                        for key, value in rates.items()
                    ),
                ),
                "## Resources of one pod",
                _table(
                    ("component", "", "cpu", "memory", "ephemeralStorage"),
                    (
                        (component, kind, *(f"`{value}`" for value in amounts.values()))
                        for component, resources in BUILTIN_RESOURCES.items()
                        for kind, amounts in resources.model_dump(by_alias=True).items()
                    ),
                ),
                "## Ranges that are always denied",
                (
                    "No rule of any workspace opens these; the cluster's own ranges and the class's "
                    "`deniedCIDRs` come on top."
                ),
                _table(("range", "why"), ((f"`{cidr}`", why) for cidr, why in ALWAYS_DENIED.items())),
            ]
        )
        + "\n"
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
