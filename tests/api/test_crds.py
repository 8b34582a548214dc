"""What the API server makes of the CRDs: accepts, defaults, refuses, explains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.bad_specs import BAD_CLASSES, BAD_HOSTS, BAD_IMAGE_ALLOWANCES, BAD_NAMES, BAD_SPECS

from bulkhead import names
from bulkhead.api.crd import CRD_NAMES, custom_resource_definitions
from bulkhead.api.parse import parse_class, parse_workspace
from bulkhead.api.syntax import HOST, IMAGE_ALLOWANCE
from bulkhead.api.workspace import WorkspaceSpec
from bulkhead.api.workspace_class import WorkspaceClassSpec
from kubelive import ApiRefusal, Live, Ref, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.bad_specs import BadSpec, BadText

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
OURS = [
    document
    for path in EXAMPLES
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    if document["apiVersion"] == names.API_VERSION
]
MODELS = {names.WORKSPACE_KIND: WorkspaceSpec, names.CLASS_KIND: WorkspaceClassSpec}
NO_CLASS = "api-test-no-such-class"  # so that a running operator makes nothing of what these tests store

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]


def body(kind: str, spec: dict[str, Any], name: str = "api-test") -> dict[str, Any]:
    """An object of ours."""
    return {"apiVersion": names.API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}


def tried(live: Live, obj: dict[str, Any]) -> dict[str, Any]:
    """What the server would store, with strict field validation, without storing it."""
    plural = names.WORKSPACE_PLURAL if obj["kind"] == names.WORKSPACE_KIND else names.CLASS_PLURAL
    path = f"/apis/{names.API_VERSION}/{plural}?dryRun=All&fieldValidation=Strict"
    return live.call("POST", path, obj)


def refusal(live: Live, obj: dict[str, Any]) -> str:
    """What the server says of an object that it does not take."""
    with pytest.raises(ApiRefusal) as refused:
        tried(live, obj)
    assert refused.value.status == 422
    return refused.value.message


@pytest.fixture(scope="module")
def stored(live: Live, crds: tuple[dict[str, Any], ...]) -> Iterator[Ref]:
    """A stored workspace with a tenantID and an epoch."""
    spec = {"className": NO_CLASS, "tenantID": "t1", "sessionEpoch": 3}
    live.create(body(names.WORKSPACE_KIND, spec))
    ref = Ref(names.WORKSPACE_KIND, "api-test")
    yield ref
    live.delete(ref)


def test_served_crds_are_the_generated_ones(crds: tuple[dict[str, Any], ...]) -> None:
    """A field that the server drops from our schema would be pruned from users' objects."""
    generated = [crd["spec"]["versions"][0]["schema"] for crd in custom_resource_definitions()]

    assert generated == [crd["spec"]["versions"][0]["schema"] for crd in crds]


@pytest.mark.parametrize("name", CRD_NAMES)
def test_plain_client_side_apply_takes_the_crd(name: str) -> None:
    """Over 256 KiB the last-applied annotation is refused, and users would need --server-side."""
    plural, _, group = name.partition(".")

    kubectl("apply", "--dry-run=server", "-f", str(ROOT / "crds" / f"{group}_{plural}.yaml"))


@pytest.mark.parametrize("example", OURS, ids=[each["metadata"]["name"] for each in OURS])
def test_example_is_accepted_strictly_and_read_alike(live: Live, example: dict[str, Any]) -> None:
    """An example with a typo, or one that means something else after the server's defaults, misleads."""
    accepted = tried(live, body(example["kind"], example["spec"]))
    model = MODELS[example["kind"]]

    assert model.model_validate(example["spec"]) == model.model_validate(accepted["spec"])


def test_whole_examples_folder_applies_in_one_go() -> None:
    """`kubectl apply -f examples/` is in the README: the order of files must work."""
    done = kubectl("apply", "--dry-run=client", "--validate=strict", "-f", str(ROOT / "examples"))

    # And four objects each of platform-secrets.yaml and model-key.yaml.
    assert len(done.stdout.splitlines()) == len(OURS) + 8


@pytest.mark.parametrize("bad", BAD_SPECS, ids=[bad.id for bad in BAD_SPECS])
def test_bad_workspace_is_refused_and_the_field_named(live: Live, bad: BadSpec) -> None:
    """What can never work must not get as far as the operator."""
    with pytest.raises(ApiRefusal) as refusal:
        tried(live, body(names.WORKSPACE_KIND, bad.spec))

    assert refusal.value.status == 422
    assert bad.field in refusal.value.message


@pytest.mark.parametrize("bad", BAD_CLASSES, ids=[bad.id for bad in BAD_CLASSES])
def test_bad_class_is_refused_and_the_field_named(live: Live, bad: BadSpec) -> None:
    """A class nobody can use must not be stored."""
    with pytest.raises(ApiRefusal) as refusal:
        tried(live, body(names.CLASS_KIND, bad.spec))

    assert refusal.value.status == 422
    assert bad.field in refusal.value.message


@pytest.mark.parametrize("bad", BAD_HOSTS, ids=[bad.id for bad in BAD_HOSTS])
def test_bad_host_is_refused_with_the_operators_own_words(live: Live, bad: BadText) -> None:
    """In a runtime's rules, in a tool's and in an allow-list: one table, two engines, one answer."""
    rule, said = {"host": bad.text}, f"allowed: {HOST.fault(bad.text)}"
    workspace = {"runtime": {}, "egress": [rule], "tools": [{"name": "a", "egress": [rule]}]}
    refused = refusal(live, body(names.WORKSPACE_KIND, workspace))
    refused_class = refusal(live, body(names.CLASS_KIND, {"allowed": {"egressHosts": [bad.text]}}))

    assert bad.allowed in said
    assert (refused.count("Invalid value"), refused.count(said)) == (2, 2)
    assert "spec.egress[0].host: " in refused
    assert "spec.tools[0].egress[0].host: " in refused
    assert (refused_class.count("Invalid value"), refused_class.count(said)) == (1, 1)
    assert "spec.allowed.egressHosts[0]: " in refused_class


@pytest.mark.parametrize("bad", BAD_IMAGE_ALLOWANCES, ids=[bad.id for bad in BAD_IMAGE_ALLOWANCES])
def test_image_pattern_that_is_too_wide_is_refused_with_the_reason(live: Live, bad: BadText) -> None:
    """An allow-list of everything must not even be stored."""
    refused = refusal(live, body(names.CLASS_KIND, {"allowed": {"images": [bad.text]}}))

    assert refused.count("Invalid value") == 1
    assert "spec.allowed.images[0]: " in refused
    assert refused.endswith(f"allowed: {IMAGE_ALLOWANCE.fault(bad.text)}")


def test_longest_lists_of_hosts_are_within_the_servers_budget_for_rules(live: Live) -> None:
    """A rule that costs too much refuses an honest object, and only a large one shows it."""
    host = f"{'a.' * 123}example"
    tools = [{"name": f"t{n}", "egress": [{"host": host}] * 16} for n in range(32)]
    workspace = {"className": NO_CLASS, "runtime": {}, "egress": [{"host": host}] * 64, "tools": tools}
    hosts = {"allowed": {"egressHosts": [f"h{n}.{host[6:]}" for n in range(256)]}}

    assert tried(live, body(names.WORKSPACE_KIND, workspace))["spec"]["tools"] == tools
    assert tried(live, body(names.CLASS_KIND, hosts))["spec"]["allowed"] == hosts["allowed"]


@pytest.mark.parametrize(
    "tool", [{"command": ["/bin/sh"], "args": ["-c", "true"]}, {"image": "a.example/b", "args": ["x"]}]
)
def test_arguments_with_a_command_or_an_image_are_accepted(live: Live, tool: dict[str, Any]) -> None:
    """Only our own tool-runner takes none."""
    assert tried(live, body(names.WORKSPACE_KIND, {"tools": [{"name": "a", **tool}]}))


@pytest.mark.parametrize(
    "isolation",
    [
        {"level": "Baseline"},
        {"level": "UserNamespace", "nodeSelector": {"kubernetes.io/arch": "amd64", "pool": ""}},
        {"level": "Sandboxed", "runtimeClassName": "kata.v2", "tolerations": [{"operator": "Exists"}]},
        {
            "tolerations": [
                {"key": "a.example/b"},
                {"key": "c", "effect": "NoExecute", "tolerationSeconds": 0},
            ]
        },
    ],
)
def test_levels_and_tolerations_are_read_alike(live: Live, isolation: dict[str, Any]) -> None:
    """What the server accepts the operator must read in the same way, or a level is lost between them."""
    accepted = tried(live, body(names.CLASS_KIND, {"isolation": isolation}))

    assert accepted["spec"]["isolation"] == {"level": "Baseline", **isolation}
    assert parse_class(accepted).spec == WorkspaceClassSpec.model_validate({"isolation": isolation})


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name_is_refused(live: Live, name: str) -> None:
    """Names of namespaces and labels derive from it, uncut."""
    with pytest.raises(ApiRefusal) as refusal:
        tried(live, body(names.WORKSPACE_KIND, {}, name))

    assert "metadata.name must be at most 40" in refusal.value.message


@pytest.mark.parametrize("name", ["7", "a", "n" * 40])
def test_longest_and_shortest_names_are_accepted(live: Live, name: str) -> None:
    """The bound is 40, not 39, and a digit may lead."""
    assert tried(live, body(names.WORKSPACE_KIND, {}, name))["metadata"]["name"] == name


def test_unknown_field_is_refused_when_strict(live: Live) -> None:
    """A misspelt field that is silently pruned would be a fence that is not there."""
    with pytest.raises(ApiRefusal) as refusal:
        tried(live, body(names.WORKSPACE_KIND, {"tolls": []}))

    assert 'unknown field "spec.tolls"' in refusal.value.message


@pytest.mark.parametrize("quota", [{"cpu": 2, "memory": "4Gi"}, {"cpu": "2", "memory": 4294967296}])
def test_quantities_are_taken_as_numbers_and_as_text(live: Live, quota: dict[str, Any]) -> None:
    """Users write `cpu: 2` without quotes, as in Kubernetes' own kinds."""
    assert tried(live, body(names.WORKSPACE_KIND, {"quota": quota}))["spec"]["quota"] == quota


def test_defaults_are_those_of_the_models(live: Live) -> None:
    """A default that differs between server and operator changes meaning with the age of an object."""
    workspace = tried(live, body(names.WORKSPACE_KIND, {"lifecycle": {}, "runtime": {}}))
    cls = tried(live, body(names.CLASS_KIND, {"ceilings": {}, "defaults": {"lifecycle": {}}}))

    assert workspace["spec"] == {
        "lifecycle": {"suspended": False},
        "runtime": {"replicas": 1},
        "sessionEpoch": 0,
    }
    assert cls["spec"] == {
        "isolation": {"level": "Baseline"},  # shown, so that the column LEVEL is never empty
        "ceilings": {"tools": 16},
        "defaults": {"lifecycle": {"provisionDeadline": "5m", "warnBefore": "10m"}},
    }
    assert WorkspaceSpec.model_validate(workspace["spec"]) == WorkspaceSpec.model_validate(
        {"lifecycle": {}, "runtime": {}}
    )
    assert WorkspaceClassSpec.model_validate(cls["spec"]) == WorkspaceClassSpec()


def test_stored_objects_parse(live: Live, stored: Ref) -> None:
    """The metadata that the operator relies on is what a server really sends."""
    workspace = parse_workspace(live.get(stored))
    cls = parse_class(tried(live, body(names.CLASS_KIND, {})))

    assert (workspace.name, workspace.generation) == ("api-test", 1)
    assert isinstance(workspace.spec, WorkspaceSpec)
    assert cls.spec == WorkspaceClassSpec()


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"tenantID": "t2"}, "tenantID cannot be changed"),
        ({"tenantID": None}, "tenantID cannot be changed"),
        ({"sessionEpoch": 2}, "sessionEpoch can only be raised"),
    ],
    ids=["changed tenant", "removed tenant", "lowered epoch"],
)
def test_what_must_not_change_cannot(live: Live, stored: Ref, patch: dict[str, Any], message: str) -> None:
    """A tenant's identity in tokens and records, and revocation, must not be undone by an edit."""
    with pytest.raises(ApiRefusal) as refusal:
        live.merge(stored, {"spec": patch})

    assert message in refusal.value.message


def test_tenant_cannot_be_added_later(live: Live) -> None:
    """Without one it is the workspace's name; naming it later would change it."""
    ref = Ref(names.WORKSPACE_KIND, "api-test-plain")
    live.create(body(ref.kind, {"className": NO_CLASS}, ref.name))
    try:
        with pytest.raises(ApiRefusal) as refusal:
            live.merge(ref, {"spec": {"tenantID": "late"}})
    finally:
        live.delete(ref)

    assert "tenantID cannot be changed, added or removed" in refusal.value.message


def test_epoch_can_be_raised_and_deadline_extended(live: Live, stored: Ref) -> None:
    """Revoking and extending are edits of the spec."""
    edited = live.merge(stored, {"spec": {"sessionEpoch": 4, "lifecycle": {"ttl": "9h"}}})

    assert edited["spec"]["sessionEpoch"] == 4
    assert edited["spec"]["lifecycle"]["ttl"] == "9h"


def test_status_is_a_subresource_and_keeps_every_field(live: Live, stored: Ref) -> None:
    """Users' writes must not reach the status, and no field of ours may be pruned from it."""
    moment = "2026-12-01T00:00:00Z"
    status = {
        "observedGeneration": 1,
        "phase": "Ready",
        "namespace": {"name": "bh-x", "uid": "u"},
        "gateway": {"url": "http://gateway"},
        "agents": "1/1",
        "expiresAt": moment,
        "lastActivity": moment,
        "conditions": [
            {
                "type": "ASomewhatNewerType",
                "status": "True",
                "reason": "ASomewhatNewerReason",
                "message": "m",
                "observedGeneration": 1,
                "lastTransitionTime": moment,
            }
        ],
    }
    path = f"{stored.path}/status?dryRun=All"
    written = Live.break_glass().call(
        "PATCH", path, {"status": status}, content_type="application/merge-patch+json"
    )

    assert written["status"] == status
    faked = live.merge(stored, {"status": {"phase": "Fake"}})
    assert faked.get("status", {}).get("phase") != "Fake"


@pytest.fixture(scope="module")
def stored_class(live: Live, crds: tuple[dict[str, Any], ...]) -> Iterator[Ref]:
    """A stored class that nobody uses."""
    live.create(body(names.CLASS_KIND, {}, NO_CLASS))
    ref = Ref(names.CLASS_KIND, NO_CLASS)
    yield ref
    live.delete(ref)


def test_status_of_a_class_is_a_subresource_and_keeps_every_field(live: Live, stored_class: Ref) -> None:
    """As above; and an edit by a person must not say that nobody uses the class."""
    condition = {
        "type": "InUse",
        "status": "True",
        "reason": "InUse",
        "message": "used by acme",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-12-01T00:00:00Z",
    }
    status = {"observedGeneration": 1, "workspaces": 3, "conditions": [condition]}
    path = f"{stored_class.path}/status?dryRun=All"
    written = Live.break_glass().call(
        "PATCH", path, {"status": status}, content_type="application/merge-patch+json"
    )

    assert written["status"] == status
    assert parse_class(written).status.model_dump(mode="json", by_alias=True, exclude_none=True) == status
    faked = live.merge(stored_class, {"status": {"workspaces": 7}})
    assert faked.get("status", {}).get("workspaces") != 7


def test_columns_of_a_class_say_level_use_and_readiness(stored_class: Ref) -> None:
    """Administrators see at a glance what isolates whom."""
    short = kubectl("get", "wsc", stored_class.name).stdout.splitlines()
    wide = kubectl("get", "wsc", stored_class.name, "-o", "wide").stdout.splitlines()[0].split()

    assert short[0].split() == ["NAME", "LEVEL", "WORKSPACES", "READY", "DEFAULT", "AGE"]
    assert short[1].split()[:2] == [stored_class.name, "Baseline"]
    assert wide == [*short[0].split(), "REASON", "MAX-TTL", "IMAGES", "HOSTS"]


def test_kubectl_explains_the_lifecycle() -> None:
    """The descriptions are the first documentation that users meet."""
    said = kubectl("explain", "tws.spec.lifecycle").stdout

    assert "Time from creation to deletion" in " ".join(said.split())


def test_columns_say_what_people_look_for(stored: Ref) -> None:
    """`kubectl get tws` is the status page of most users."""
    short = kubectl("get", "tws", stored.name).stdout.splitlines()[0].split()
    wide = kubectl("get", "tws", stored.name, "-o", "wide").stdout.splitlines()[0].split()

    assert short == ["NAME", "READY", "AGENTS", "EXPIRES", "REASON", "AGE"]
    assert wide == [*short, "CLASS", "NAMESPACE", "MESSAGE"]
