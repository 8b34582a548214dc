"""Bad input: refused, or a condition that says what to do; nothing half-made, nobody else affected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from kubelive import ApiRefusal, Live, Ref, wait_until
from kubelive.workspaces import condition, ready, workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cluster.conftest import Operator

REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("quantity", {"quota": {"cpu": "two"}}, "spec.quota.cpu"),
    ("duplicate tool", {"tools": [{"name": "a"}, {"name": "a"}]}, "spec.tools"),
    ("zero ttl", {"lifecycle": {"ttl": "0s"}}, "spec.lifecycle.ttl"),
    ("negative ttl", {"lifecycle": {"ttl": "-1h"}}, "spec.lifecycle.ttl"),
    ("port", {"tools": [{"name": "a", "port": 70000}]}, "spec.tools[0].port"),
    ("image", {"tools": [{"name": "a", "image": "UPPER case"}]}, "spec.tools[0].image"),
    ("tool name", {"tools": [{"name": "A_b"}]}, "spec.tools[0].name"),
    ("host and cidr", {"egress": [{"host": "a.example", "cidr": "203.0.113.0/24"}]}, "spec.egress[0]"),
]

STALLED: list[tuple[str, dict[str, Any], str, tuple[str, ...]]] = [
    ("unknown class", {"className": "no-such-class"}, "UnknownClass", ("spec.className", "no-such-class")),
    ("ttl above ceiling", {"lifecycle": {"ttl": "3h"}}, "ExceedsClass", ("spec.lifecycle.ttl", "3h", "2h")),
    (
        "host not allowed",
        {"runtime": {}, "egress": [{"host": "evil.example"}]},
        "ExceedsClass",
        ("spec.egress", "evil.example"),
    ),
    (
        "secret namespace not allowed",
        {"secrets": [{"name": "k", "from": {"namespace": "kube-system", "name": "x", "key": "y"}}]},
        "ExceedsClass",
        ("spec.secrets", "kube-system"),
    ),
    (
        "deadline in the past",
        {"lifecycle": {"expiresAt": "2020-01-01T00:00:00Z"}},
        "InvalidSpec",
        ("expiresAt",),
    ),
]


@pytest.mark.parametrize(("spec", "field"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_admission_refuses_and_names_the_field(live: Live, spec: dict[str, Any], field: str) -> None:
    """What CEL and the schema can see never reaches the operator."""
    with pytest.raises(ApiRefusal) as refusal:
        live.create(workspace("refused", className="cluster-tests", **spec))

    assert refusal.value.status == 422
    assert field in refusal.value.message


def test_admission_refuses_a_name_that_is_too_long(live: Live) -> None:
    """Forty characters, so that no derived name is ever cut."""
    with pytest.raises(ApiRefusal) as refusal:
        live.apply(workspace("n" * 41, className="cluster-tests"))

    assert refusal.value.status == 422
    assert "40" in refusal.value.message


@pytest.mark.parametrize(
    ("spec", "reason", "words"), [case[1:] for case in STALLED], ids=[case[0] for case in STALLED]
)
def test_a_spec_that_can_never_work_makes_nothing(
    live: Live, spec: dict[str, Any], reason: str, words: tuple[str, ...]
) -> None:
    """Stalled with field, value and what is allowed; no namespace, and deletion works at once."""
    ref = Ref("TenantWorkspace", "hopeless")
    live.delete(ref)
    wait_until("the last one is gone", lambda: live.find(ref) is None)
    live.apply(workspace(ref.name, **({"className": "cluster-tests"} | spec)))

    def stalled() -> dict[str, Any] | None:
        seen = condition(live, ref.name, "Stalled")
        return seen if seen and seen["status"] == "True" else None

    seen = wait_until("Stalled", stalled, timeout_seconds=15)

    assert seen["reason"] == reason
    for word in words:
        assert word in seen["message"]
    mine = [
        space
        for space in live.items("Namespace")
        if space["metadata"].get("labels", {}).get("bulkhead.dev/workspace") == ref.name
    ]
    assert mine == []
    live.delete(ref)
    wait_until("deleted", lambda: live.find(ref) is None, timeout_seconds=15)


def test_missing_secret_source_is_named_and_heals(live: Live, make: Callable[..., str]) -> None:
    """The condition names the source; once the Secret exists the workspace goes on by itself."""
    source = Ref("Secret", "late", "platform-secrets")
    live.delete(source)
    name = make(
        "late",
        wait=False,
        secrets=[
            {"name": "api", "from": {"namespace": source.namespace, "name": source.name, "key": "token"}}
        ],
        tools=[{"name": "shell", "secrets": ["api"]}],
    )

    def missing() -> dict[str, Any] | None:
        seen = condition(live, name, "SecretsSynced")
        return seen if seen and seen["reason"] == "SecretSourceMissing" else None

    seen = wait_until("SecretSourceMissing", missing, timeout_seconds=20)
    live.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": source.name, "namespace": source.namespace},
            "stringData": {"token": "late-but-here"},
        }
    )

    assert "platform-secrets/late" in seen["message"]
    ready(live, name)


def test_namespace_that_is_not_ours_is_never_touched(live: Live, operator: Operator) -> None:
    """The derived name is taken: Stalled, NamespaceConflict, and not one byte of it changes."""
    from bulkhead import names  # noqa: PLC0415 - the rule under test is that of the product

    operator.stop()
    try:
        made = live.apply(workspace("squatted", className="cluster-tests"))
        ref = Ref("Namespace", names.namespace("squatted", made["metadata"]["uid"]))
        live.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ref.name}})
        wait_until("root CA ConfigMap", lambda: live.find(Ref("ConfigMap", "kube-root-ca.crt", ref.name)))
        before = live.get(ref)
    finally:
        operator.start()

    def conflict() -> dict[str, Any] | None:
        seen = condition(live, "squatted", "Stalled")
        return seen if seen and seen["reason"] == "NamespaceConflict" else None

    seen = wait_until("NamespaceConflict", conflict, timeout_seconds=30)
    live.delete(Ref("TenantWorkspace", "squatted"))
    wait_until("the workspace is gone", lambda: live.find(Ref("TenantWorkspace", "squatted")) is None)

    assert ref.name in seen["message"]
    assert live.get(ref) == before
    live.delete(ref)


def test_a_workspace_nobody_can_parse_stops_no_other(live: Live, make: Callable[..., str]) -> None:
    """A stored object that this version cannot read is reported; others go on.

    The schema refuses such objects today, so one is let in by widening the CRD for a moment, as an older or
    newer CRD would have.
    """
    crd = Ref("CustomResourceDefinition", "tenantworkspaces.bulkhead.dev")
    schema = live.get(crd)["spec"]["versions"]
    loose = [
        version
        | {"schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}
        for version in schema
    ]
    live.merge(crd, {"spec": {"versions": loose}})
    try:

        def accepted() -> bool:
            try:
                live.apply(workspace("unreadable", tools="not a list", lifecycle={"ttl": 5}))
            except ApiRefusal:
                return False
            return True

        wait_until("the loose schema is in force", accepted, timeout_seconds=30, interval_seconds=0.5)
        name = make("readable", tools=[{"name": "shell"}])

        seen = live.get(Ref("TenantWorkspace", "unreadable")).get("status", {}).get("conditions", [])
        stalled = [each for each in seen if each["type"] == "Stalled" and each["status"] == "True"]
        assert stalled
        assert stalled[0]["reason"] == "InvalidSpec"
        assert ready(live, name)
    finally:
        live.delete(Ref("TenantWorkspace", "unreadable"))
        wait_until(
            "gone", lambda: live.find(Ref("TenantWorkspace", "unreadable")) is None, timeout_seconds=30
        )
        live.merge(crd, {"spec": {"versions": schema}})
