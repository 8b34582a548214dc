"""A workspace and a class as the API server would send them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead.api.effective import Effective, resolve
from bulkhead.api.parse import ParsedClass, parse_class, parse_workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkhead.api.violation import Violation

    Outcome = Effective | tuple[Violation, ...]
    Judge = Callable[..., Outcome]

CREATED = datetime(2026, 11, 1, 8, tzinfo=UTC)
SANDBOX = "bulkhead/sandbox:test"


def stored(spec: object, name: str = "acme", **metadata: Any) -> dict[str, Any]:
    """An object with the metadata that every stored one has."""
    moment = CREATED.isoformat().replace("+00:00", "Z")
    return {
        "metadata": {"name": name, "uid": "u-1", "creationTimestamp": moment, "generation": 2, **metadata},
        "spec": spec,
    }


def parsed_class(spec: dict[str, Any], name: str = "standard", *, default: bool = True) -> ParsedClass:
    """A readable class."""
    annotations = {"bulkhead.dev/is-default-class": "true"} if default else {}
    return parse_class(stored(spec, name, annotations=annotations))


@pytest.fixture
def judged() -> Judge:
    """What the operator makes of a spec under a class: parse, then resolve."""

    def judge(spec: dict[str, Any], cls: dict[str, Any] | None = None, name: str = "acme") -> Outcome:
        workspace, owner = parse_workspace(stored(spec, name)), parsed_class(cls or {})
        if isinstance(workspace.spec, tuple):
            return workspace.spec
        assert not isinstance(owner.spec, tuple)
        return resolve(
            name=workspace.name,
            uid=workspace.uid,
            generation=workspace.generation,
            created_at=workspace.created_at,
            spec=workspace.spec,
            cls_name=owner.name,
            cls_spec=owner.spec,
            sandbox_image=SANDBOX,
        )

    return judge
