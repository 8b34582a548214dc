from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from bulkhead.api.class_checks import class_spec_violations
from bulkhead.api.effective import Effective
from bulkhead.api.workspace import WorkspaceSpec
from bulkhead.api.workspace_class import IsolationLevel, WorkspaceClassSpec

if TYPE_CHECKING:
    from pydantic import BaseModel

    from .conftest import Judge

EXAMPLES = Path(__file__).parents[3] / "examples"
# The two that say in a comment why they are left out: examples must run where there is no registry.
WITHOUT_IMAGES = {"spec.runtime.image", "spec.tools[].image"}


def spec_of(file: str) -> dict[str, Any]:
    """The spec of the one object in an example."""
    spec: dict[str, Any] = yaml.safe_load((EXAMPLES / file).read_text(encoding="utf-8"))["spec"]
    return spec


def unset(model: BaseModel, path: str) -> set[str]:
    """Paths of the fields that nobody set, below those that somebody did."""
    missing: set[str] = set()
    for name, field in type(model).model_fields.items():
        below = f"{path}.{field.alias}"
        if name not in model.model_fields_set:
            missing.add(below)
            continue
        value = getattr(model, name)
        if isinstance(value, tuple) and value and hasattr(value[0], "model_fields_set"):
            # A field counts as shown if one of the entries shows it.
            missing |= set.intersection(*(unset(each, f"{below}[]") for each in value))
        elif hasattr(value, "model_fields_set"):
            missing |= unset(value, below)
    return missing


@pytest.mark.parametrize("file", ["minimal.yaml", "full.yaml"])
def test_workspace_example_round_trips(file: str) -> None:
    """What is written is what is meant: nothing is lost between YAML, model and wire."""
    model = WorkspaceSpec.model_validate(spec_of(file))

    assert model == WorkspaceSpec.model_validate(model.model_dump(by_alias=True, exclude_none=True))


def test_full_example_shows_every_field() -> None:
    """It is where people copy from."""
    shown = WorkspaceSpec.model_validate(spec_of("full.yaml"))

    # An egress rule has either host or cidr, so both are shown by different entries.
    assert unset(shown, "spec") == WITHOUT_IMAGES


def test_class_example_shows_every_field() -> None:
    """As above, for administrators."""
    assert unset(WorkspaceClassSpec.model_validate(spec_of("class.yaml")), "spec") == set()


@pytest.mark.parametrize("file", ["class.yaml", "class-user-namespace.yaml"])
def test_class_example_round_trips(file: str) -> None:
    """As for workspaces; and its rules across fields hold."""
    model = WorkspaceClassSpec.model_validate(spec_of(file))

    assert model == WorkspaceClassSpec.model_validate(model.model_dump(by_alias=True, exclude_none=True))
    assert class_spec_violations(model) == ()


def test_class_examples_show_the_levels_that_are_not_the_default() -> None:
    """Both need something of the cluster, and people copy how to ask for it."""
    files = ("class.yaml", "class-user-namespace.yaml")
    levels = [WorkspaceClassSpec.model_validate(spec_of(file)).isolation.level for file in files]

    assert levels == [IsolationLevel.SANDBOXED, IsolationLevel.USER_NAMESPACE]


def test_minimal_example_works_under_an_empty_class(judged: Judge) -> None:
    """The first thing that anybody applies must not need an administrator."""
    assert isinstance(judged(spec_of("minimal.yaml")), Effective)


def test_full_example_is_admitted_by_its_class(judged: Judge) -> None:
    """Two files of one folder must fit together."""
    outcome = judged(spec_of("full.yaml"), spec_of("class.yaml"))

    assert isinstance(outcome, Effective), [each.message for each in outcome]
