"""Classes on a real cluster: an edit reaches every workspace, and a class in use does not vanish."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kubelive import Live, Ref, wait_until
from kubelive.workspaces import condition, namespace_of, ready, workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Manifest = dict[str, Any]


@pytest.fixture
def own_class(live: Live, request: pytest.FixtureRequest) -> Iterator[Ref]:
    """A class of the test's own."""
    ref = Ref("WorkspaceClass", request.node.name.replace("_", "-")[:60].rstrip("-"))
    live.apply(
        {
            "apiVersion": "bulkhead.dev/v1alpha1",
            "kind": "WorkspaceClass",
            "metadata": {"name": ref.name},
            "spec": {"defaults": {"quota": {"pods": 7}}},
        }
    )
    yield ref
    live.delete(ref)


def class_condition(live: Live, ref: Ref, kind: str) -> Manifest:
    """The class's condition of that type, or nothing."""
    found = live.find(ref) or {}
    conditions = found.get("status", {}).get("conditions", [])
    return next((each for each in conditions if each["type"] == kind), {})


def test_an_edit_reaches_every_workspace_of_the_class(
    live: Live, own_class: Ref, make: Callable[..., str]
) -> None:
    """Who tightens a class must not have to touch each tenant."""
    members = [make("member", wait=False, className=own_class.name) for _ in range(3)]
    other = make("other")
    for name in members:
        ready(live, name)
    untouched = live.get(Ref("ResourceQuota", "workspace", namespace_of(live, other)))["metadata"]

    live.merge(own_class, {"spec": {"defaults": {"quota": {"pods": 9}}}})

    quotas = [Ref("ResourceQuota", "workspace", namespace_of(live, name)) for name in members]
    wait_until(
        "the quota of each member",
        lambda: {live.get(ref)["spec"]["hard"]["pods"] for ref in quotas} == {"10"},
        timeout_seconds=20,
        describe=lambda: str([live.get(ref)["spec"]["hard"]["pods"] for ref in quotas]),
    )
    for name in members:
        ready(live, name)
    after = live.get(Ref("ResourceQuota", "workspace", namespace_of(live, other)))["metadata"]
    assert untouched["uid"] == after["uid"]
    assert live.get(own_class)["status"]["workspaces"] == len(members)


def test_a_stricter_class_stalls_what_it_no_longer_allows_and_keeps_it_running(
    live: Live, own_class: Ref, make: Callable[..., str]
) -> None:
    """An edit by mistake must be visible everywhere and destroy nothing."""
    name = make("strict", className=own_class.name, tools=[{"name": "shell"}])
    namespace = namespace_of(live, name)
    before = {pod["metadata"]["uid"] for pod in live.items("Pod", namespace)}

    live.merge(own_class, {"spec": {"ceilings": {"tools": 0}}})
    seen = wait_until(
        "Stalled",
        lambda: (now := condition(live, name, "Stalled")) and now["status"] == "True" and now,
        timeout_seconds=20,
    )

    assert seen["reason"] == "ExceedsClass"
    for word in ("spec.tools", "1", "0"):
        assert word in seen["message"]
    assert before == {pod["metadata"]["uid"] for pod in live.items("Pod", namespace)}
    live.merge(own_class, {"spec": {"ceilings": {"tools": 1}}})
    ready(live, name)


def test_a_class_in_use_waits_for_its_last_workspace(
    live: Live, own_class: Ref, make: Callable[..., str]
) -> None:
    """Deleted silently, it would leave workspaces that nobody can judge any more."""
    name = make("holder", className=own_class.name)
    wait_until("InUse", lambda: class_condition(live, own_class, "InUse").get("status") == "True" or None)

    live.delete(own_class)
    seen = wait_until(
        "the condition says what it waits for",
        lambda: (
            (now := class_condition(live, own_class, "InUse")) and "deletion waits" in now["message"] and now
        ),
        timeout_seconds=20,
        describe=lambda: str(live.find(own_class)),
    )
    late = make("late-comer", wait=False, className=own_class.name)
    refused = wait_until(
        "no new workspace may choose it",
        lambda: (now := condition(live, late, "Stalled")) and now["status"] == "True" and now,
        timeout_seconds=20,
    )

    assert (seen["status"], seen["reason"]) == ("True", "InUse")
    assert name in seen["message"]
    assert refused["reason"] == "UnknownClass"
    assert "not being deleted" in refused["message"]
    assert "deletionTimestamp" in live.get(own_class)["metadata"]
    ready(live, name)
    wait_until(
        "Event ClassInUse",
        lambda: any(
            each["reason"] == "ClassInUse" and each["regarding"]["name"] == own_class.name
            for each in live.items("Event", "default")
        ),
        timeout_seconds=20,
    )
    live.delete(Ref("TenantWorkspace", late))
    live.delete(Ref("TenantWorkspace", name))
    wait_until("the class is gone", lambda: live.find(own_class) is None, timeout_seconds=90)


def test_a_workspace_that_names_no_class_gets_the_default_one(live: Live) -> None:
    """The first workspace that anybody applies names none."""
    live.apply(workspace("classless"))
    try:
        ready(live, "classless")
        seen = wait_until(
            "the class names its user",
            lambda: (
                now := class_condition(live, Ref("WorkspaceClass", "standard"), "InUse")
            ).get("status") == "True"
            and now,
            timeout_seconds=20,
        )  # fmt: skip
    finally:
        live.delete(Ref("TenantWorkspace", "classless"))

    assert "classless" in seen["message"]
