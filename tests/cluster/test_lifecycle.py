"""Deadlines are kept, never early; suspend, resume, extend; teardown leaves nothing.

All of it takes its time by nature, so the stories begin together and each test waits for its own.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from kubelive import Live, Ref, wait_until
from kubelive.workspaces import condition, gone, namespace_of, ready, tool_call

if TYPE_CHECKING:
    from support.stories import Scene, Told


def _now() -> datetime:
    return datetime.now(UTC)


def _timestamp(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _has_namespace(live: Live, name: str) -> bool:
    return "namespace" in live.get(Ref("TenantWorkspace", name)).get("status", {})


def _ending(live: Live, name: str) -> bool:
    found = live.find(Ref("TenantWorkspace", name))
    return found is None or "deletionTimestamp" in found["metadata"]


def _wait_for_end(live: Live, name: str, timeout_seconds: float) -> datetime:
    wait_until(
        f"{name} ends", lambda: _ending(live, name), timeout_seconds=timeout_seconds, interval_seconds=0.02
    )
    return _now()


def _ttl(at: Scene) -> None:
    live, make = at.live, at.make
    name = make("ttl", wait=False, lifecycle={"ttl": "20s"})
    wait_until("its namespace is known", lambda: _has_namespace(live, name), timeout_seconds=15)
    created = live.get(Ref("TenantWorkspace", name))
    due = _timestamp(created["metadata"]["creationTimestamp"]) + timedelta(seconds=20)
    namespace = namespace_of(live, name)

    ended = _wait_for_end(live, name, 40)
    gone(live, name, namespace)

    assert due <= ended <= due + timedelta(seconds=3)
    keys = live.items(
        "Secret", "bulkhead-system", selector=f"bulkhead.dev/workspace-uid={created['metadata']['uid']}"
    )
    assert keys == []


def _extension(at: Scene) -> None:
    live, make = at.live, at.make
    name = make("extend", wait=False, lifecycle={"ttl": "12s"})
    created = _timestamp(live.get(Ref("TenantWorkspace", name))["metadata"]["creationTimestamp"])

    live.merge(Ref("TenantWorkspace", name), {"spec": {"lifecycle": {"ttl": "10m"}}})
    wait_until(
        "the old deadline passes", lambda: _now() > created + timedelta(seconds=15), timeout_seconds=30
    )

    assert not _ending(live, name)
    status = ready(live, name)["status"]
    assert _timestamp(status["expiresAt"]) == created + timedelta(minutes=10)


def _absolute(at: Scene) -> None:
    live, make = at.live, at.make
    due = (_now() + timedelta(seconds=14)).replace(microsecond=0)
    lifecycle = {"ttl": "1h", "expiresAt": due.isoformat(), "warnBefore": "10s"}
    name = make("absolute", wait=False, lifecycle=lifecycle)

    wait_until(
        "Expiring",
        lambda: (seen := condition(live, name, "Expiring")) is not None and seen["status"] == "True",
        timeout_seconds=20,
    )
    ended = _wait_for_end(live, name, 40)

    assert due <= ended <= due + timedelta(seconds=3)


def _idle(at: Scene) -> None:
    live, make = at.live, at.make
    name = make("idle", lifecycle={"idleTTL": "75s"}, tools=[{"name": "shell"}])
    started = _timestamp(live.get(Ref("TenantWorkspace", name))["metadata"]["creationTimestamp"])

    wait_until(
        "most of the idle time passes",
        lambda: _now() > started + timedelta(seconds=60),
        timeout_seconds=90,
    )
    assert tool_call(live, at.backend, name, "shell", "shell_exec", argv=["true"]).status == 200
    last_session = _now()
    ended = _wait_for_end(live, name, 100)

    assert ended >= last_session + timedelta(seconds=73)
    assert ended <= last_session + timedelta(seconds=80)


def _suspension(at: Scene) -> None:
    live, make = at.live, at.make
    name = make("pause", tools=[{"name": "shell"}], runtime={})
    namespace = namespace_of(live, name)
    kept = [("NetworkPolicy", "default-deny"), ("ResourceQuota", "workspace"), ("Secret", "session-keys")]
    before = {each: live.get(Ref(*each, namespace))["metadata"]["uid"] for each in kept}

    live.merge(Ref("TenantWorkspace", name), {"spec": {"lifecycle": {"suspended": True}}})
    wait_until("no pods", lambda: not live.items("Pod", namespace), timeout_seconds=60)
    suspended = condition(live, name, "Ready")
    live.merge(Ref("TenantWorkspace", name), {"spec": {"lifecycle": {"suspended": False}}})
    ready(live, name)

    assert suspended is not None
    assert (suspended["status"], suspended["reason"]) == ("False", "Suspended")
    assert before == {each: live.get(Ref(*each, namespace))["metadata"]["uid"] for each in kept}
    assert tool_call(live, at.backend, name, "shell", "shell_exec", argv=["true"]).status == 200


def _provision(at: Scene) -> None:
    live, make = at.live, at.make
    name = make(
        "never",
        wait=False,
        lifecycle={"provisionDeadline": "8s"},
        tools=[{"name": "broken", "image": "registry.invalid/no/such:image"}],
    )

    def stalled() -> bool:
        seen = condition(live, name, "Stalled")
        return seen is not None and seen["status"] == "True" and seen["reason"] == "ProvisionDeadlineExceeded"

    wait_until("Stalled", stalled, timeout_seconds=40)
    tools = condition(live, name, "ToolsReady")
    assert tools is not None
    assert tools["status"] == "False"
    assert "broken" in tools["message"]


def _blocked(at: Scene) -> None:
    live, make = at.live, at.make
    name = make("held")
    namespace = namespace_of(live, name)
    live.create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "hold", "namespace": namespace, "finalizers": ["example.com/hold"]},
        }
    )

    live.delete(Ref("TenantWorkspace", name))

    def blocked() -> str | None:
        found = live.get(Ref("TenantWorkspace", name))
        texts = [c["message"] for c in found["status"]["conditions"] if c["reason"] == "TeardownBlocked"]
        return texts[0] if texts else None

    message = wait_until("TeardownBlocked", blocked, timeout_seconds=90)
    assert "example.com/hold" in message
    assert live.get(Ref("ConfigMap", "hold", namespace))["metadata"]["finalizers"] == ["example.com/hold"]
    assert live.items("Pod", namespace) == []

    live.merge(Ref("ConfigMap", "hold", namespace), {"metadata": {"finalizers": None}})
    gone(live, name, namespace)


STORIES: Final = (
    _ttl,
    _extension,
    _absolute,
    _idle,
    _suspension,
    _provision,
    _blocked,
)


def test_ttl_ends_a_workspace_on_time_and_leaves_nothing(told: Told) -> None:
    """Measured from creation, Ready or not, never early; workspace, namespace and key are gone then."""
    told(_ttl)


def test_extending_by_edit_moves_the_deadline(told: Told) -> None:
    """An edit before the deadline keeps the workspace; the status shows the new end."""
    told(_extension)


def test_absolute_deadline_wins_when_it_is_earlier(told: Told) -> None:
    """`expiresAt` beats a longer ttl; a warning condition comes first."""
    told(_absolute)


def test_idle_deadline_counts_from_the_last_session(told: Told) -> None:
    """A session served shortly before the idle deadline keeps the workspace; then it ends."""
    told(_idle)


def test_suspend_stops_pods_and_keeps_everything_else(told: Told) -> None:
    """No pod runs while suspended; policies, quota, keys stay; resume serves again."""
    told(_suspension)


def test_provision_deadline_stalls_what_never_becomes_ready(told: Told) -> None:
    """An image that cannot be pulled: the reason is shown; after the deadline the workspace is Stalled."""
    told(_provision)


def test_teardown_names_what_blocks_it_and_forces_nothing(told: Told) -> None:
    """A foreign finalizer holds the namespace: the status says so, and it is never force-removed."""
    told(_blocked)
