"""Whatever is broken by hand is put back; nothing is written when nothing changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kubelive import Live, Ref, wait_until
from kubelive.sabotage import SABOTAGES, Sabotage, repair_seconds
from kubelive.workspaces import namespace_of, ready

if TYPE_CHECKING:
    from collections.abc import Callable

CHILDREN = [
    ("Deployment", "runtime"),
    ("Deployment", "tool-shell"),
    ("LimitRange", "workspace"),
    ("NetworkPolicy", "gateway"),
    ("NetworkPolicy", "guard"),
    ("NetworkPolicy", "runtime"),
    ("NetworkPolicy", "tool-shell"),
    ("ResourceQuota", "workspace"),
    ("RoleBinding", "tenant-view"),
    ("RoleBinding", "bulkhead-operator"),
    ("Service", "gateway"),
    ("Service", "tool-shell"),
    ("ServiceAccount", "gateway"),
    ("ServiceAccount", "runtime"),
]


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda each: each.title)
def test_sabotage_is_repaired(live: Live, pair: tuple[str, str], sabotage: Sabotage) -> None:
    """Each way to weaken a workspace is undone by the operator alone."""
    repair_seconds(live, namespace_of(live, pair[0]), sabotage)

    ready(live, pair[0])


@pytest.mark.parametrize(("kind", "name"), CHILDREN, ids=[f"{kind}-{name}" for kind, name in CHILDREN])
def test_deleted_child_comes_back(live: Live, pair: tuple[str, str], kind: str, name: str) -> None:
    """Every kind of child is watched."""
    ref = Ref(kind, name, namespace_of(live, pair[0]))
    old_uid = live.get(ref)["metadata"]["uid"]

    Live.break_glass().delete(ref, missing_ok=False)

    def back() -> bool:
        found = live.find(ref)
        return found is not None and found["metadata"]["uid"] != old_uid

    wait_until(f"{kind} {name} recreated", back, timeout_seconds=20)
    ready(live, pair[0])


def test_drift_leaves_an_event(live: Live, pair: tuple[str, str]) -> None:
    """Somebody who looks later learns that something was put back, and what."""
    Live.break_glass().delete(Ref("LimitRange", "workspace", namespace_of(live, pair[0])))

    def event() -> bool:
        return any(
            each.get("reason") == "DriftRepaired" and each.get("regarding", {}).get("name") == pair[0]
            for each in live.items("Event")
        )

    wait_until("Event DriftRepaired", event, timeout_seconds=20)


def test_a_converged_workspace_is_not_written(live: Live, make: Callable[..., str]) -> None:
    """A reconcile with nothing to do makes no write: every resourceVersion stays."""
    name = make("still", tools=[{"name": "shell"}], runtime={})
    namespace = namespace_of(live, name)
    kinds = sorted({kind for kind, _ in CHILDREN} | {"Secret"})

    def versions() -> dict[str, str]:
        found = {
            f"{kind}/{each['metadata']['name']}": str(each["metadata"]["resourceVersion"])
            for kind in kinds
            for each in live.items(kind, namespace)
        }
        found["workspace"] = live.get(Ref("TenantWorkspace", name))["metadata"]["resourceVersion"]
        return found

    # The quota's usage and Deployment statuses settle for a moment after Ready; they are not the operator's.
    settled = wait_until(
        "versions settle", lambda: (first := versions()) == versions() and first, interval_seconds=2
    )
    # A foreign annotation makes the operator look, and there is nothing to do.
    live.merge(Ref("TenantWorkspace", name), {"metadata": {"annotations": {"example.com/poke": "1"}}})
    poked = live.get(Ref("TenantWorkspace", name))["metadata"]["resourceVersion"]
    expected = settled | {"workspace": poked}

    wait_until("a look without a write", lambda: versions() == expected, timeout_seconds=5)
    assert versions() == expected
