from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import BaseModel, Field

from bulkhead.api.conditions import ConditionType, Reason
from bulkhead.api.crd import MAX_CRD_BYTES, custom_resource_definitions
from bulkhead.api.events import EventReason
from bulkhead.api.schema import structural_schema
from generate.__main__ import GROUPS, generated, stale
from generate.crds import crd_files

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMAS = {
    crd["spec"]["names"]["kind"]: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    for crd in custom_resource_definitions()
}


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node of a schema with its path."""
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from nodes(schema[key], f"{path}[]")


NODES = [(f"{kind}{path}", node) for kind, schema in SCHEMAS.items() for path, node in nodes(schema)]


def test_generated_files_are_current() -> None:
    """A CRD that lags behind the models prunes fields; `make generate` mends it."""
    assert stale(generated(sorted(GROUPS))) == []


@pytest.mark.parametrize("path", sorted(crd_files()))
def test_crd_fits_plain_apply(path: str) -> None:
    """`kubectl apply` keeps a second copy in an annotation."""
    assert len(crd_files()[path].encode()) <= MAX_CRD_BYTES


def test_every_field_is_described() -> None:
    """`kubectl explain` and the reference pages are made of these."""
    bare = [
        f"{path}.{name}"
        for path, node in NODES
        for name, child in node.get("properties", {}).items()
        if name != "metadata" and len(child.get("description", "")) < 10
    ]

    assert bare == []


def test_everything_users_write_is_bounded() -> None:
    """One object must not fill etcd, nor a rule cost more than CEL's budget."""
    bounds = {"string": "maxLength", "array": "maxItems", "integer": "minimum"}
    unbounded = [
        path
        for path, node in NODES
        if ".spec" in path or ".status" in path
        if (bound := bounds.get(node.get("type", ""))) and bound not in node and "enum" not in node
    ]

    assert unbounded == []


def test_every_quantity_has_a_pattern() -> None:
    """It is lost silently where pydantic finds a function before it; then anything would pass."""
    quantities = [node for _, node in NODES if node.get("x-kubernetes-int-or-string")]

    assert len(quantities) > 10
    assert all("pattern" in node for node in quantities)


def test_every_list_says_how_it_merges() -> None:
    """Server-side apply of two users would otherwise depend on the server's guess."""
    assert [
        path for path, node in NODES if node.get("type") == "array" and "x-kubernetes-list-type" not in node
    ] == []


def test_conditions_and_reasons_stay_open_in_the_schema() -> None:
    """An older CRD must take what a newer operator says, or every status write fails."""
    condition = SCHEMAS["TenantWorkspace"]["properties"]["status"]["properties"]["conditions"]["items"][
        "properties"
    ]

    assert "enum" not in condition["type"]
    assert "enum" not in condition["reason"]


class _Union(BaseModel):
    value: int | str


class _Open(BaseModel):
    value: Any


class _Unbounded(BaseModel):
    value: str


class _Exclusive(BaseModel):
    value: Annotated[int, Field(gt=0)]


class _Tree(BaseModel):
    children: tuple[_Tree, ...] = Field(default=(), max_length=2)


@pytest.mark.parametrize("model", [_Union, _Unbounded, _Exclusive, _Tree], ids=lambda model: model.__name__)
def test_what_has_no_structural_form_is_an_error_here(model: type[BaseModel]) -> None:
    """The API server would refuse it later and say less."""
    with pytest.raises(ValueError, match=r"value|children|recursive"):
        structural_schema(model)


@pytest.mark.parametrize(
    "member", [*ConditionType, *Reason, *EventReason], ids=lambda member: f"{type(member).__name__}.{member}"
)
def test_every_member_carries_its_documentation(member: ConditionType | Reason | EventReason) -> None:
    """The pages and `bulkhead explain` have no other source."""
    assert member.documentation.endswith(".")
    assert type(member)(str(member)) is member
