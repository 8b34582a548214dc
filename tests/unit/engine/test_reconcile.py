"""Whole reconciles over the in-memory API server: what is written, in which order, and what is not."""

from __future__ import annotations

import asyncio
import base64
import copy
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead import names
from bulkhead.engine.activity import Activity
from bulkhead.errors import Conflict, Forbidden, Invalid, QuotaExceeded, Unavailable

if TYPE_CHECKING:
    from tests.unit.engine.conftest import Engine

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]

SPEC: dict[str, Any] = {"tools": [{"name": "shell"}]}


async def test_status_and_finalizer_are_written_before_any_other_work(engine: Engine) -> None:
    """A crash after the first object would leave a namespace that nobody tears down."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    await engine.reconcile()

    assert engine.api.history[:5] == [
        ("status", "TenantWorkspace", "acme"),
        ("patch", "WorkspaceClass", "standard"),
        ("patch", "TenantWorkspace", "acme"),
        ("create", "Secret", names.signing_key(engine.api.workspace("acme")["metadata"]["uid"])),
        ("create", "Namespace", engine.namespace()),
    ]


async def test_no_deployment_is_written_before_every_policy(engine: Engine) -> None:
    """ISO: a pod that starts before its policies is open for that long."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    await engine.reconcile()

    kinds = [kind for _, kind, _ in engine.api.history]
    first_pod = kinds.index("Deployment")
    assert "NetworkPolicy" in kinds[:first_pod]
    assert "NetworkPolicy" not in kinds[first_pod:]


async def test_one_reconcile_writes_everything(engine: Engine) -> None:
    """Service addresses are in the answers to our own writes; waiting for an event would cost a second."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC | {"runtime": {}})
    await engine.reconcile()

    deployments = {name for _, kind, name in engine.api.history if kind == "Deployment"}
    assert deployments == {"gateway", "runtime", "tool-shell"}


async def test_a_converged_workspace_is_not_written_to(engine: Engine) -> None:
    """At rest the operator must be silent: each write would be an event, each event a reconcile."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    await engine.settle()
    before = engine.api.writes
    await engine.reconcile()

    assert engine.api.writes == before


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("NetworkPolicy", "default-deny"),
        ("ResourceQuota", "workspace"),
        ("LimitRange", "workspace"),
        ("RoleBinding", "bulkhead-operator"),
        ("ServiceAccount", "gateway"),
        ("Secret", "session-keys"),
        ("Service", "gateway"),
        ("Deployment", "tool-shell"),
    ],
)
async def test_a_deleted_child_is_made_again_and_told(engine: Engine, kind: str, name: str) -> None:
    """Drift of every kind is repaired, counted and visible."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    await engine.settle()
    where = (kind, engine.namespace(), name)
    del engine.api.store.objects[where]
    engine.api.store.applied.pop(where)
    await engine.reconcile()

    assert where in engine.api.store.objects
    assert "DriftRepaired" in engine.reasons()
    assert engine.metrics.drift_repaired.labels(kind)._value.get() == 1


async def test_a_foreign_policy_is_removed(engine: Engine) -> None:
    """Policies add up: any policy beside ours can only open a way."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    await engine.settle()
    space = engine.namespace()
    policy = {
        "kind": "NetworkPolicy",
        "metadata": {"namespace": space, "name": "open"},
        "spec": {"podSelector": {}},
    }
    engine.api.store.create(policy)
    await engine.reconcile()

    assert ("NetworkPolicy", space, "open") not in engine.api.store.objects
    assert "ForeignPolicyRemoved" in engine.reasons()


async def test_a_foreign_namespace_is_not_touched(engine: Engine) -> None:
    """Somebody else's namespace under our derived name must stay as it is, to the byte."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    foreign = {"kind": "Namespace", "metadata": {"name": engine.namespace(), "labels": {"team": "other"}}}
    engine.api.store.create(foreign)
    before = copy.deepcopy(engine.api.store.objects["Namespace", None, engine.namespace()])
    await engine.reconcile()

    assert engine.api.store.objects["Namespace", None, engine.namespace()] == before
    assert engine.api.condition("acme", "Stalled") == ("True", "NamespaceConflict")
    assert {kind for _, kind, _ in engine.api.history} == {"TenantWorkspace", "WorkspaceClass"}


async def test_a_namespace_made_by_somebody_meanwhile_is_not_adopted(engine: Engine) -> None:
    """Between our read and our write: an apply by name would take it over, labels and all."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    engine.api.refuse("create", "Namespace", Conflict, times=1)
    with pytest.raises(Conflict):
        await engine.reconcile()

    assert [verb for verb, kind, _ in engine.api.history if kind == "Namespace"] == ["create"]


async def test_a_spec_that_cannot_work_makes_nothing(engine: Engine) -> None:
    """No half-made namespace stays for a spec that can never work."""
    engine.api.make_class()
    engine.api.make_workspace("acme", {"tools": [{"name": "a"}, {"name": "a"}]})
    await engine.reconcile()

    assert engine.api.condition("acme", "Stalled") == ("True", "InvalidSpec")
    assert {kind for _, kind, _ in engine.api.history} == {"TenantWorkspace"}
    assert engine.api.workspace("acme")["metadata"].get("finalizers") is None


async def test_a_spec_that_is_no_spec_is_a_condition(engine: Engine) -> None:
    """A model that fails to parse must never crash the operator."""
    engine.api.make_class()
    engine.api.make_workspace("acme", {"tools": "many"})
    await engine.reconcile()

    assert engine.api.condition("acme", "Stalled") == ("True", "InvalidSpec")


async def test_a_bug_is_owned_up_to_on_the_workspace_that_met_it(engine: Engine) -> None:
    """Its user sees no log of ours; a workspace that says nothing at all looks as if nobody worked."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    await engine.settle()
    gateway = engine.api.store.objects["Deployment", engine.namespace(), "gateway"]
    gateway["status"] = "planted-value in a form that nobody foresaw"
    with pytest.raises(AttributeError):
        await engine.reconcile()
    said = str(engine.api.workspace("acme")["status"])
    owned_up = engine.api.condition("acme", "Ready")
    gateway["status"] = {}
    await engine.settle()

    assert owned_up == ("False", "InternalError")
    assert "AttributeError" in said
    assert "planted-value" not in said
    assert engine.api.condition("acme", "Ready") == ("True", "Ready")


async def test_an_edit_that_cannot_work_leaves_what_runs(engine: Engine) -> None:
    """A typo in an edit must not take a tenant down."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    await engine.settle()
    objects = {where for where in engine.api.store.objects if where[1] == engine.namespace()}
    engine.api.edit_spec("acme", className="nope")
    await engine.reconcile()

    assert engine.api.condition("acme", "Stalled") == ("True", "UnknownClass")
    assert {where for where in engine.api.store.objects if where[1] == engine.namespace()} == objects


async def test_a_missing_secret_source_is_named_and_the_rest_is_made(engine: Engine) -> None:
    """One missing Secret must neither stop the gateway nor look like success."""
    engine.api.make_class(spec={"allowed": {"secretNamespaces": ["platform"]}})
    source = {"name": "key", "from": {"namespace": "platform", "name": "search", "key": "token"}}
    tool = {"name": "shell", "secrets": ["key"]}
    engine.api.make_workspace("acme", {"tools": [tool], "secrets": [source]})
    await engine.reconcile()

    assert engine.api.condition("acme", "SecretsSynced") == ("False", "SecretSourceMissing")
    assert ("Deployment", engine.namespace(), "gateway") in engine.api.store.objects


MODEL_CLASS = {
    "models": [
        {
            "name": "default",
            "url": "http://model.models.svc:8000/v1",
            "pods": {"namespaceLabels": {"a": "b"}, "podLabels": {"c": "d"}, "port": 8000},
            "apiKey": {"namespace": "model-keys", "name": "default", "key": "token"},
        }
    ]
}


def _model_key(engine: Engine, value: str) -> None:
    data = {"token": base64.b64encode(value.encode()).decode()}
    secret = {"metadata": {"name": "default", "namespace": "model-keys"}, "type": "Opaque", "data": data}
    engine.api.store.create({"apiVersion": "v1", "kind": "Secret", **secret})


async def test_a_models_key_is_copied_follows_its_source_and_outlives_it(engine: Engine) -> None:
    """A Secret deleted by mistake must not take the model from every workspace of the class."""
    engine.api.make_class(spec=MODEL_CLASS)
    engine.api.make_workspace("acme", {"model": {"name": "default"}})
    _model_key(engine, "planted-old")
    await engine.settle()
    where = ("Secret", engine.namespace(), "model-key")
    values = [engine.api.store.objects[where]["data"]["value"]]
    _model_key(engine, "planted-new")
    await engine.reconcile()
    values.append(engine.api.store.objects[where]["data"]["value"])
    del engine.api.store.objects["Secret", "model-keys", "default"]
    await engine.reconcile()
    values.append(engine.api.store.objects[where]["data"]["value"])

    assert [base64.b64decode(each) for each in values] == [b"planted-old", b"planted-new", b"planted-new"]
    assert engine.api.condition("acme", "SecretsSynced") == ("False", "SecretSourceMissing")
    assert engine.api.condition("acme", "Ready")[0] == "True"


async def test_a_model_whose_key_is_missing_keeps_the_gateway_back_and_says_so(engine: Engine) -> None:
    """It would serve calls that can only fail."""
    engine.api.make_class(spec=MODEL_CLASS)
    engine.api.make_workspace("acme", {"model": {"name": "default"}})
    await engine.reconcile()

    assert ("Deployment", engine.namespace(), "gateway") not in engine.api.store.objects
    assert engine.api.condition("acme", "GatewayReady") == ("False", "SecretSourceMissing")


async def test_no_model_key_comes_from_the_operators_own_namespace(engine: Engine) -> None:
    """Signing keys are kept there: a class that names one would hand it to every gateway."""
    source = {"namespace": "bulkhead-system", "name": "default", "key": "token"}
    engine.api.make_class(spec={"models": [MODEL_CLASS["models"][0] | {"apiKey": source}]})
    engine.api.make_workspace("acme", {"model": {"name": "default"}})
    data = {"token": base64.b64encode(b"planted").decode()}
    metadata = {"name": "default", "namespace": "bulkhead-system"}
    engine.api.store.create({"kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data})
    await engine.reconcile()

    assert ("Secret", engine.namespace(), "model-key") not in engine.api.store.objects
    assert engine.api.condition("acme", "SecretsSynced") == ("False", "SecretSourceMissing")


async def test_quota_refusals_are_told_apart(engine: Engine) -> None:
    """A person must see what to change: the quota, not the API server."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    engine.api.refuse("apply", "Service", QuotaExceeded)
    with pytest.raises(QuotaExceeded):
        await engine.reconcile()

    assert engine.api.condition("acme", "Ready") == ("False", "QuotaExceeded")


async def test_waves_stop_at_a_failure(engine: Engine) -> None:
    """Pods must not come up when a policy could not be written."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    engine.api.refuse("apply", "NetworkPolicy", Invalid)
    with pytest.raises(Invalid):
        await engine.reconcile()

    assert "Deployment" not in {kind for _, kind, _ in engine.api.history}
    assert engine.api.condition("acme", "Ready") == ("False", "ApiError")


async def test_rights_that_come_a_moment_later_are_waited_for(engine: Engine) -> None:
    """A RoleBinding works once the authorizer has seen it; failing would cost a second a workspace."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    engine.api.refuse("apply", "ResourceQuota", Forbidden, times=3)
    await engine.reconcile()

    assert ("ResourceQuota", engine.namespace(), "workspace") in engine.api.store.objects


async def test_rights_that_never_come_are_an_error(engine: Engine) -> None:
    """Waiting for ever would hide a broken installation."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    engine.api.refuse("apply", "ResourceQuota", Forbidden)
    with pytest.raises(Forbidden):
        await engine.reconcile()

    assert engine.clock.monotonic() < 10


async def test_an_unavailable_server_changes_no_verdict(engine: Engine) -> None:
    """What cannot be read is unknown: a Ready workspace must not be called anything else."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    await engine.settle()
    engine.api.refuse("list", "Pod", Unavailable, times=1)
    with pytest.raises(Unavailable):
        await engine.reconcile()

    assert engine.api.condition("acme", "Ready") == ("True", "Ready")


async def test_a_workspace_that_is_gone_is_forgotten(engine: Engine) -> None:
    """Its deadline and its place in the index would stay for ever."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    await engine.reconcile()
    del engine.api.store.objects["TenantWorkspace", None, "acme"]
    await engine.reconcile()

    assert (len(engine.deadlines), len(engine.fleet)) == (0, 0)


async def test_ttl_deletes_at_the_deadline_and_not_before(engine: Engine) -> None:
    """Early is as bad as late."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC | {"lifecycle": {"ttl": "1h"}})
    await engine.settle()
    await asyncio.sleep(3599.9)
    await engine.reconcile()
    before = "deletionTimestamp" in engine.api.workspace("acme")["metadata"]
    await asyncio.sleep(0.1)
    await engine.reconcile()

    assert (before, "deletionTimestamp" in engine.api.workspace("acme")["metadata"]) == (False, True)
    assert "Expired" in engine.reasons()


async def test_an_extension_at_the_last_moment_wins(engine: Engine) -> None:
    """The delete names the version that was read; an edit since then makes it a conflict."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC | {"lifecycle": {"ttl": "1h"}})
    await engine.settle()
    await asyncio.sleep(3600)
    listed = engine.parts.gatherer.classes

    async def meanwhile() -> Any:
        found = await listed()  # the workspace has been read by then
        engine.api.edit_spec("acme", lifecycle={"ttl": "2h"})
        return found

    engine.parts.gatherer.classes = meanwhile  # type: ignore[method-assign]
    with pytest.raises(Conflict):
        await engine.reconcile()

    assert "deletionTimestamp" not in engine.api.workspace("acme")["metadata"]


async def idle_for(engine: Engine, seconds: float) -> None:
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC | {"lifecycle": {"idleTTL": "30m"}})
    await engine.settle()
    await asyncio.sleep(seconds)


async def test_an_idle_workspace_ends_when_its_gateway_says_so(engine: Engine) -> None:
    """Idle costs money; nobody else will end it."""
    await idle_for(engine, 1801)
    engine.activity.answer = Activity(started_at=engine.clock.start, last_session_at=None)
    await engine.reconcile()

    assert "deletionTimestamp" in engine.api.workspace("acme")["metadata"]
    assert len(engine.activity.asked) == 1


async def test_a_used_workspace_lives_on(engine: Engine) -> None:
    """The gateway knows of a session that status does not know of."""
    await idle_for(engine, 1801)
    used_at = engine.clock.now() - timedelta(minutes=10)
    engine.activity.answer = Activity(started_at=engine.clock.start, last_session_at=used_at)
    await engine.reconcile()

    assert "deletionTimestamp" not in engine.api.workspace("acme")["metadata"]
    told = engine.api.workspace("acme")["status"]["lastActivity"]
    assert told.startswith(used_at.strftime("%Y-%m-%dT%H:%M"))


async def test_a_silent_gateway_that_runs_is_asked_again(engine: Engine) -> None:
    """Unreachable is not idle: never expire early."""
    await idle_for(engine, 1801)
    again_seconds = await engine.reconcile()

    assert "deletionTimestamp" not in engine.api.workspace("acme")["metadata"]
    assert again_seconds == 30


async def test_a_gateway_that_does_not_run_cannot_have_served(engine: Engine) -> None:
    """A workspace whose gateway crashed must not live for ever."""
    await idle_for(engine, 1801)
    gateway = engine.api.store.objects["Deployment", engine.namespace(), "gateway"]
    gateway["status"] = {"availableReplicas": 0}
    await engine.reconcile()

    assert "deletionTimestamp" in engine.api.workspace("acme")["metadata"]


async def test_a_broken_edit_does_not_make_immortal(engine: Engine) -> None:
    """Else anybody could outlive the class's ceiling with a typo."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC | {"lifecycle": {"ttl": "1h"}})
    await engine.settle()
    engine.api.edit_spec("acme", className="nope")
    await engine.reconcile()
    await asyncio.sleep(3600)
    engine.activity.answer = Activity(started_at=engine.clock.start, last_session_at=None)
    await engine.reconcile()

    assert "deletionTimestamp" in engine.api.workspace("acme")["metadata"]


async def test_suspension_keeps_everything_but_pods(engine: Engine) -> None:
    """Data, policies and keys must be there on resumption."""
    engine.api.make_class()
    engine.api.make_workspace("acme", SPEC)
    await engine.settle()
    before = {where for where in engine.api.store.objects if where[0] != "Pod"}
    engine.api.edit_spec("acme", lifecycle={"suspended": True})
    await engine.reconcile()
    engine.api.store.tick()
    await engine.reconcile()

    assert {where for where in engine.api.store.objects if where[0] != "Pod"} == before
    assert not [where for where in engine.api.store.objects if where[0] == "Pod"]
    assert engine.api.condition("acme", "Ready") == ("False", "Suspended")
