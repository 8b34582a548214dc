from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkhead.api.conditions import ConditionType, Reason
from bulkhead.api.parse import choose_class, parse_class, parse_workspace
from bulkhead.api.status import ClassStatus, Condition, WorkspaceStatus
from bulkhead.api.violation import Violation
from bulkhead.api.workspace import WorkspaceSpec
from bulkhead.errors import InvalidValue

from .conftest import CREATED, parsed_class, stored

MOMENT = "2026-11-01T09:00:00Z"
GOOD = {
    "type": "Ready",
    "status": "True",
    "reason": "Ready",
    "observedGeneration": 2,
    "lastTransitionTime": MOMENT,
}
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["tools", "runtime", "lifecycle", "quota", "egress", "secrets", "access", "className", "tenantID"]
)


@given(st.dictionaries(fields, anything, max_size=4) | anything, anything)
def test_no_stored_object_can_crash_the_parser(spec: object, status: object) -> None:
    """One unreadable object must never stop the others: violations or a spec, never an exception."""
    workspace = parse_workspace({**stored(spec), "status": status})

    assert isinstance(workspace.spec, WorkspaceSpec) or all(
        isinstance(each, Violation) for each in workspace.spec
    )
    assert isinstance(workspace.status, WorkspaceStatus)


def test_identity_is_read_even_if_the_spec_is_not() -> None:
    """A broken object must still be torn down when it is deleted."""
    workspace = parse_workspace(
        stored(
            {"tools": 7},
            deletionTimestamp=MOMENT,
            finalizers=["bulkhead.dev/teardown"],
            annotations={"a": "b"},
        )
    )

    assert (workspace.name, workspace.uid, workspace.generation) == ("acme", "u-1", 2)
    assert workspace.created_at == CREATED
    assert workspace.deletion_timestamp == datetime(2026, 11, 1, 9, tzinfo=UTC)
    assert workspace.finalizers == ("bulkhead.dev/teardown",)
    assert workspace.annotations == {"a": "b"}


def test_object_without_identity_is_refused_by_class() -> None:
    """Caught as a BulkheadError, unlike a programming error."""
    with pytest.raises(InvalidValue):
        parse_workspace({"spec": {}})


def test_violation_names_path_in_camel_case_value_and_what_is_allowed() -> None:
    """The user sees what the user wrote, not our attribute names or a regular expression."""
    spec = {
        "secrets": [{"name": "k", "from": {"namespace": "A", "name": "s", "key": "v"}}],
        "quota": {"ephemeralStorage": "x"},
    }
    found = parse_workspace(stored(spec)).spec

    assert isinstance(found, tuple)
    assert [(each.field, each.given) for each in found] == [
        ("spec.secrets[0].from.namespace", "A"),
        ("spec.quota.ephemeralStorage", "x"),
    ]
    assert found[0].message == (
        "spec.secrets[0].from.namespace: A is not allowed; allowed: lower-case letters, digits and hyphens, "
        "starting and ending with a letter or digit"
    )


def test_long_values_are_cut_in_messages() -> None:
    """A condition's message is bounded, and the rest tells nobody anything."""
    found = parse_workspace(stored({"className": "x" * 5000})).spec

    assert isinstance(found, tuple)
    assert len(found[0].message) < 300


def test_unknown_fields_of_a_newer_version_are_ignored() -> None:
    """After a downgrade the operator must go on serving what it knows."""
    assert parse_workspace(stored({"memory": {"maxVectors": 5}})).spec == WorkspaceSpec()


def test_status_keeps_what_can_be_read() -> None:
    """A newer operator's condition must not cost the namespace's identity."""
    status = {
        "namespace": {"name": "bh-acme-1", "uid": "n-1"},
        "conditions": [
            GOOD,
            {**GOOD, "type": "FromTheFuture"},
            "nonsense",
            {**GOOD, "type": "Stalled", "reason": "Newer"},
        ],
    }
    read = parse_workspace({**stored({}), "status": status}).status

    assert read.namespace is not None
    assert read.namespace.uid == "n-1"
    assert [each.type for each in read.conditions] == [ConditionType.READY]


def test_status_round_trips() -> None:
    """What the operator writes it must read again after a restart."""
    written = WorkspaceStatus(
        conditions=(Condition.model_validate(GOOD),), agents="1/2", last_activity=CREATED
    )
    wire = written.model_dump(mode="json", by_alias=True, exclude_none=True)

    assert wire["lastActivity"] == "2026-11-01T08:00:00Z"
    assert parse_workspace({**stored({}), "status": wire}).status == written


def test_long_condition_message_is_shortened_not_refused() -> None:
    """Server answers end up in messages; a status write must not fail over one."""
    condition = Condition.model_validate({**GOOD, "message": "x" * 10_000})

    assert len(condition.message) == 4096


CLASSES: dict[str, Any] = {
    "none": {},
    "one": {"a": True, "b": False},
    "two": {"a": True, "b": True},
    "no default": {"a": False},
}


@pytest.mark.parametrize(
    ("named", "classes", "answer"),
    [
        (None, "one", "a"),
        ("b", "one", "b"),
        ("b", "two", "b"),
        (None, "two", "2 are: a, b"),
        (None, "no default", "none is); classes: a"),
        (None, "none", "none is); classes: none exists"),
        ("x", "one", "the name of a WorkspaceClass: a, b"),
    ],
)
def test_class_is_the_named_or_the_only_default_one(named: str | None, classes: str, answer: str) -> None:
    """With none or two defaults nobody may guess whose ceilings hold."""
    known = {name: parsed_class({}, name, default=default) for name, default in CLASSES[classes].items()}
    chosen = choose_class(named, known)

    if isinstance(chosen, Violation):
        assert chosen.reason is Reason.UNKNOWN_CLASS
        assert chosen.field == "spec.className"
        assert answer in chosen.allowed
    else:
        assert chosen[0] == answer


def test_unreadable_class_says_why_to_its_workspaces() -> None:
    """Calling it unknown although it is plainly there would send people searching."""
    chosen = choose_class(
        "standard", {"standard": parse_class(stored({"ceilings": {"tools": "x"}}, "standard"))}
    )

    assert isinstance(chosen, Violation)
    assert (chosen.reason, chosen.field, chosen.given) == (Reason.INVALID_SPEC, "spec.className", "standard")
    assert "spec.ceilings.tools" in chosen.allowed


def test_class_with_a_wrong_list_is_broken_for_its_workspaces() -> None:
    """Whoever relies on its other entries must hear that none of them holds."""
    chosen = choose_class("standard", {"standard": parsed_class({"allowed": {"images": ["*"]}})})

    assert isinstance(chosen, Violation)
    assert chosen.reason is Reason.INVALID_SPEC
    assert "spec.allowed.images[0]: * is not allowed; allowed: no wildcard this wide" in chosen.allowed


def test_unknown_level_names_what_is_given_and_what_is_allowed() -> None:
    """A level that is guessed would be a promise that nobody keeps."""
    found = parsed_class({"isolation": {"level": "Hardened"}}).spec

    assert isinstance(found, tuple)
    assert [each.message for each in found] == [
        "spec.isolation.level: Hardened is not allowed; allowed: 'Baseline', 'UserNamespace' or 'Sandboxed'"
    ]


def test_sandbox_without_its_runtime_class_is_refused_with_the_reason() -> None:
    """It would run tenant code on the node's kernel under another name."""
    found = parsed_class({"isolation": {"level": "Sandboxed"}}).spec

    assert isinstance(found, tuple)
    assert [each.message for each in found] == [
        (
            "spec.isolation.runtimeClassName: nothing is not allowed; allowed: the name of a RuntimeClass; "
            "level Sandboxed requires one"
        )
    ]


def test_status_of_a_class_round_trips() -> None:
    """What the operator writes it must read again; what it cannot read is no status."""
    in_use = {**GOOD, "type": "InUse", "reason": "InUse"}
    wire = {"observedGeneration": 2, "workspaces": 3, "conditions": [in_use]}
    read = parse_class({**stored({}), "status": {**wire, "conditions": [in_use, {**GOOD, "type": "Newer"}]}})

    assert read.status.model_dump(mode="json", by_alias=True, exclude_none=True) == {
        **wire,
        "conditions": [{**in_use, "message": ""}],
    }
    assert parse_class({**stored({}), "status": {"workspaces": "many"}}).status == ClassStatus()


def test_class_that_cannot_be_read_keeps_its_identity_and_status() -> None:
    """The operator must still say of it what is wrong, and let it go."""
    read = parse_class({**stored({"ceilings": 7}, "standard"), "status": {"workspaces": 2}})

    assert isinstance(read.spec, tuple)
    assert (read.name, read.uid, read.generation, read.status.workspaces) == ("standard", "u-1", 2, 2)
