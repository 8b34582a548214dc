"""Status and finalizers of TenantWorkspaces and WorkspaceClasses are the operator's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.admission import ADMITTED, Request, apply, at, create, delete, merge, replace
from support.fenced import OWN, WORKSPACE

from kubelive import Ref, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubelive import Live

pytestmark = pytest.mark.usefixtures("held")

POLICY = "bulkhead-own-kinds"
BULKHEAD = "bulkhead.dev/v1alpha1"
CLASS = "fences-held"
WORKSPACES, CLASSES = at(BULKHEAD, "tenantworkspaces"), at(BULKHEAD, "workspaceclasses")
HERE, ITS_CLASS = f"{WORKSPACES}/{WORKSPACE}", f"{CLASSES}/{CLASS}"
FINALIZERS = {"TenantWorkspace": "bulkhead.dev/teardown", "WorkspaceClass": "bulkhead.dev/class-in-use"}
Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def resting(glass: Live) -> Iterator[None]:
    """An operator that the chart installed rests: it would take a finalizer off that it does not need."""
    ref = Ref("Deployment", "bulkhead-operator", OWN)
    installed = glass.find(ref)
    if installed is None:
        yield
        return
    glass.merge(ref, {"spec": {"replicas": 0}})
    operators = "app.kubernetes.io/component=operator"
    wait_until("operators gone", lambda: not glass.items("Pod", OWN, selector=operators), timeout_seconds=60)
    yield
    glass.merge(ref, {"spec": {"replicas": installed["spec"]["replicas"]}})


@pytest.fixture(scope="module")
def held(glass: Live, uid: str, resting: None) -> Iterator[None]:
    """A workspace and a class with our finalizer and another's."""
    body: Manifest = {
        "apiVersion": BULKHEAD,
        "kind": "WorkspaceClass",
        "metadata": {"name": CLASS},
        "spec": {},
    }
    glass.apply(body)
    refs = {
        kind: Ref(kind, name) for kind, name in (("TenantWorkspace", WORKSPACE), ("WorkspaceClass", CLASS))
    }
    for kind, ref in refs.items():
        glass.merge(ref, {"metadata": {"finalizers": ["example.com/other", FINALIZERS[kind]]}})
    yield
    for ref in refs.values():
        glass.merge(ref, {"metadata": {"finalizers": None}})
    glass.delete(refs["WorkspaceClass"])


def finalizers(path: str, *left: str) -> Request:
    return merge(path, {"metadata": {"finalizers": list(left)}})


OPEN: dict[str, Request] = {
    "another spec": merge(HERE, {"spec": {"sessionEpoch": 1}}),
    "a label": merge(HERE, {"metadata": {"labels": {"team": "x"}}}),
    "the rotation of its key": merge(
        HERE, {"metadata": {"annotations": {"bulkhead.dev/rotate-signing-key": "1"}}}
    ),
    "another's finalizer off": finalizers(HERE, "bulkhead.dev/teardown"),
    "another's finalizer on": finalizers(HERE, "example.com/other", "example.com/x", "bulkhead.dev/teardown"),
    "its end": delete(HERE),
    "a class's spec": merge(ITS_CLASS, {"spec": {"deniedCIDRs": ["203.0.113.0/24"]}}),
    "a class's end": delete(ITS_CLASS),
    "a stored copy": create(
        WORKSPACES,
        {
            "apiVersion": BULKHEAD,
            "kind": "TenantWorkspace",
            "metadata": {"name": "fences-copy", "finalizers": ["bulkhead.dev/teardown"]},
            "spec": {},
        },
    ),
}


@pytest.mark.parametrize("case", OPEN)
def test_people_say_what_they_want(admin: Live, case: str) -> None:
    """The control."""
    assert ADMITTED == OPEN[case].by(admin)


STATUS: dict[str, Request] = {
    "a workspace's": merge(f"{HERE}/status", {"status": {"phase": "Ready"}}),
    "a class's": merge(f"{ITS_CLASS}/status", {"status": {"workspaces": 0}}),
    "by apply": apply(
        f"{HERE}/status",
        {
            "apiVersion": BULKHEAD,
            "kind": "TenantWorkspace",
            "metadata": {"name": WORKSPACE},
            "status": {"phase": "Ready"},
        },
    ),
    "wiped": merge(f"{HERE}/status", {"status": None}),
}


@pytest.mark.parametrize("who", ["admin", "controller"])
@pytest.mark.parametrize("case", STATUS)
def test_status_is_the_operators_word(request: pytest.FixtureRequest, who: str, case: str) -> None:
    """Status names the namespace by UID: who writes it chooses which namespace a workspace has."""
    outcome = STATUS[case].by(request.getfixturevalue(who))

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert "status is the operator's word" in outcome.message


TORN_OFF: dict[str, Request] = {
    "a workspace's": finalizers(HERE, "example.com/other"),
    "all of a workspace's": merge(HERE, {"metadata": {"finalizers": None}}),
    "a class's": finalizers(ITS_CLASS, "example.com/other"),
    "another of ours": finalizers(HERE, "example.com/other", "bulkhead.dev/teardown", "bulkhead.dev/x"),
    "by replace": replace(
        HERE,
        {
            "apiVersion": BULKHEAD,
            "kind": "TenantWorkspace",
            "metadata": {"name": WORKSPACE},
            "spec": {"className": "fences-no-such-class"},
        },
    ),
}


def current(live: Live, request: Request) -> Request:
    """A replacement carries the version that it replaces."""
    if request.method != "PUT":
        return request
    version = live.get(Ref("TenantWorkspace", WORKSPACE))["metadata"]["resourceVersion"]
    metadata = request.body["metadata"] | {"resourceVersion": version}
    return replace(request.path, request.body | {"metadata": metadata})


@pytest.mark.parametrize("case", TORN_OFF)
def test_only_the_operator_takes_its_finalizer_off(admin: Live, case: str) -> None:
    """Without it a teardown looks finished while pods, Secrets and keys are still there."""
    outcome = current(admin, TORN_OFF[case]).by(admin)

    assert (403, POLICY) == (outcome.status, outcome.policy)
    assert "the operator's" in outcome.message
    assert "bulkhead.dev/" in outcome.message


OPERATORS = {**STATUS, **TORN_OFF}


@pytest.mark.parametrize("case", OPERATORS)
def test_operator_and_broken_glass_may(operator: Live, glass: Live, case: str) -> None:
    """The operator's work, and the way out when it is gone for good."""
    request = OPERATORS[case]

    assert ADMITTED == current(glass, request).by(glass)
    if case != "by replace":  # it drops another's finalizer as well, which the operator never does
        kept = request if request in STATUS.values() else finalizers(HERE, "example.com/other")
        assert ADMITTED == kept.by(operator)
