"""Every field of both kinds makes a difference: to a manifest, to a deadline, or to what is refused."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.builders import IMAGE, UID, context

from bulkhead.api.effective import Effective, resolve
from bulkhead.api.workspace import WorkspaceSpec
from bulkhead.api.workspace_class import WorkspaceClassSpec
from bulkhead.render import SecretValue, render

if TYPE_CHECKING:
    from collections.abc import Iterator

Spec = dict[str, Any]
Path_ = tuple[str | int, ...]

EXAMPLES = Path(__file__).parents[3] / "examples"
CREATED = datetime(2026, 11, 1, 8, tzinfo=UTC)
# Read where a token is made and where a class is chosen, which is neither of what this test looks at.
ELSEWHERE = {("tenantID",), ("className",)}
# Among them is another valid value for every text there is.
TEXTS = (
    "1", "7", "1Gi", "7Gi", "1h", "3h", "20m", "/other", "Baseline", "UserNamespace", "Equal", "Exists",
    "NoSchedule", "NoExecute", "User", "Group", "view", "admin", "203.0.113.0/26", "203.0.113.0/28",
    "2001:db8:7::/56", "2001:db8:8::/48", "b.example.com", "registry.example/agents/other:2", "other",
    "2099-02-01T00:00:00Z", "https://other.example.com/v1", "198.51.100.0/25",
)  # fmt: skip


def example(file: str) -> Spec:
    """The spec of the one object in an example; examples show every field but images."""
    spec: Spec = yaml.safe_load((EXAMPLES / file).read_text(encoding="utf-8"))["spec"]
    return spec


FULL = example("full.yaml")
FULL["runtime"]["image"] = FULL["tools"][1]["image"] = "registry.example/agents/one:1"
CLASS = example("class.yaml")
# What a class is asked by: a spec that leaves everything to it, and one that reaches as far as it allows.
ASKED: tuple[Spec, ...] = (
    FULL,
    {"runtime": {}, "tools": [{"name": "a"}], "egress": [{"host": "api.example.com"}]},
    {"tools": [{"name": "a", "image": "registry.example/tools/search:1.4.2"}, {"name": "b"}]},
    {"runtime": {}, "egress": [{"cidr": "2001:db8:7::/48"}, {"cidr": "203.0.113.0/24"}]},
    {"lifecycle": {"ttl": "100h"}},
    {"model": {"name": "outside"}},
    {"quota": {"cpu": "16", "memory": "32Gi", "pods": 40, "storage": "100Gi", "ephemeralStorage": "32Gi"}},
)


def leaves(value: Any, path: Path_ = ()) -> Iterator[Path_]:
    """Paths of everything that is neither map nor list."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value)
    for key, each in items:
        if isinstance(each, dict | list):
            yield from leaves(each, (*path, key))
        else:
            yield (*path, key)


def at(spec: Spec, path: Path_) -> Any:
    found: Any = spec
    for key in path:
        found = found[key]
    return found


def changed(spec: Spec, path: Path_) -> Iterator[Spec]:
    """The spec with other values of the right type there."""
    before = at(spec, path)
    others: tuple[Any, ...] = (not before,) if isinstance(before, bool) else TEXTS
    if isinstance(before, int) and not isinstance(before, bool):
        others = (before + 1, before - 1, 1)
    for other in others:
        if other != before:
            copied = copy.deepcopy(spec)
            at(copied, path[:-1])[path[-1]] = other
            yield copied


def outcome(workspace: Spec, cls: Spec) -> str:
    """All that follows from them, as text."""
    effective = resolve(
        name="globex",
        uid=UID,
        generation=1,
        created_at=CREATED,
        spec=WorkspaceSpec.model_validate(workspace),
        cls_name="research",
        cls_spec=WorkspaceClassSpec.model_validate(cls),
        sandbox_image=IMAGE,
    )
    if not isinstance(effective, Effective):
        return "; ".join(each.message for each in effective)
    # As gathered: what lies in another Secret is another value.
    values = {each.name: SecretValue(str(each.from_).encode()) for each in effective.secrets}
    source = effective.model.api_key if effective.model is not None else None
    key = None if source is None else SecretValue(str(source).encode())
    manifests = render(effective, context(effective, secret_values=values, model_key=key)).manifests
    return f"{effective.lifecycle} {json.dumps(manifests, sort_keys=True, default=str)}"


def outcomes(pairs: Iterator[tuple[Spec, Spec]]) -> Iterator[str]:
    """Those of the pairs that both models take."""
    for workspace, cls in pairs:
        try:
            yield outcome(workspace, cls)
        except ValueError:
            continue


def named(path: Path_) -> str:
    return ".".join(map(str, path))


@pytest.mark.parametrize("path", [p for p in leaves(FULL) if p not in ELSEWHERE], ids=named)
def test_agentic_operator_core_no_field_of_a_workspace_is_dead(path: Path_) -> None:
    """Its Tenant had a networkPolicy and a token budget that no code read: users believed in them."""
    before = outcome(FULL, CLASS)

    assert any(after != before for after in outcomes((spec, CLASS) for spec in changed(FULL, path)))


@pytest.mark.parametrize("path", list(leaves(CLASS)), ids=named)
def test_agentic_operator_core_no_field_of_a_class_is_dead(path: Path_) -> None:
    """An administrator's ceiling that nothing compares with is worse than none."""

    def differs(asked: Spec) -> bool:
        before = outcome(asked, CLASS)
        return any(after != before for after in outcomes((asked, cls) for cls in changed(CLASS, path)))

    assert any(map(differs, ASKED))
