"""Holes that others had and fixed, or had when they were looked at: each test is named after its source.

Only what pure code decides is here. docs/security/known-holes.md lists them all, with the tests elsewhere and
with the reason where a hole cannot be ours.
"""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import UID, context, effective, full, manifest, runtime, secret, tool
from support.cluster import converge, gathered, namespace, one_round
from support.store import OPERATOR_NAMESPACE, Store
from support.verdicts import FALSE, NEW, judged, ready_store, said

from bulkhead import names
from bulkhead.api.conditions import ConditionType as Kind
from bulkhead.api.conditions import Reason
from bulkhead.api.parse import parse_workspace
from bulkhead.api.workspace import Quota
from bulkhead.errors import Unavailable
from bulkhead.plan.actions import Delete
from bulkhead.plan.ownership import namespace_is_ours
from bulkhead.plan.teardown import teardown
from bulkhead.render import ObjectKey, SecretValue, Wave, render
from bulkhead.render.rendered import is_pod_bearing, key_of, wave_of

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.plan.actions import Action, Plan
    from bulkhead.render import Manifest

SPEC = full()
SPACE = namespace(SPEC)


def _store(spec: Effective = SPEC) -> Store:
    store = Store()
    converge(store, spec)
    return store


def _actions(made: Plan) -> list[Action]:
    return [action for wave in made.waves for action in wave]


def _down(store: Store, spec: Effective = SPEC) -> Plan:
    observed = store.observed(namespace(spec), spec.uid)
    return teardown(spec.name, spec.uid, observed, operator_namespace=OPERATOR_NAMESPACE)


def _templates(spec: Effective, **facts: Any) -> dict[str, Manifest]:
    manifests = render(spec, context(spec, **facts)).manifests
    return {m["metadata"]["name"]: m["spec"]["template"] for m in manifests if m["kind"] == "Deployment"}


# agent-sandbox


def test_agent_sandbox_265_419_no_annotation_names_what_is_deleted() -> None:
    """An annotation that named a pod made the controller delete somebody else's: every deletion is by UID."""
    store = _store()
    store.create({"kind": "Pod", "metadata": {"name": "victim", "namespace": "other", "uid": "victim"}})
    for where, live in store.objects.items():
        if where[1] == SPACE:
            live["metadata"].setdefault("annotations", {})["agents.x-k8s.io/pod-name"] = "victim"

    known = {live["metadata"]["uid"] for where, live in store.objects.items() if where[1] == SPACE}
    deletions = [action for action in _actions(_down(store)) if isinstance(action, Delete)]

    assert one_round(store, SPEC).empty
    assert deletions != []
    assert {deletion.uid for deletion in deletions} <= known
    assert {deletion.namespace for deletion in deletions} == {SPACE}


def test_agent_sandbox_219_793_a_hash_collision_does_not_share_a_namespace() -> None:
    """Five digits of a hash collide: the second workspace must be refused by UID, not let in by name."""
    seen: dict[str, str] = {}
    for number in count():
        uid = f"{number:08x}-93f5-4d0e-8a6b-5f2c9d1e7a30"
        space = names.namespace(SPEC.name, uid)
        if space in seen:
            break
        seen[space] = uid
    first, second = replace(SPEC, uid=seen[space]), replace(SPEC, uid=uid)
    store = _store(first)
    before = json.dumps(sorted(map(str, store.objects.items())))

    made = one_round(store, second)
    down = _down(store, second)

    assert namespace(first) == namespace(second)
    assert (made.waves, down.waves) == ((), ())
    assert json.dumps(sorted(map(str, store.objects.items()))) == before
    assert said(judged(store, second), Kind.STALLED)[1] is Reason.NAMESPACE_CONFLICT


def test_agent_sandbox_793_labels_of_ours_elsewhere_open_nothing() -> None:
    """A pod that puts on a gateway's labels in its own namespace must not be taken for one."""
    for policy in (m for m in render(SPEC, context(SPEC)).manifests if m["kind"] == "NetworkPolicy"):
        rules = policy["spec"].get("ingress", []) + policy["spec"].get("egress", [])
        for peer in (peer for rule in rules for peer in rule.get("from", rule.get("to"))):
            labels = peer.get("podSelector", {}).get("matchLabels", {})
            assert "namespaceSelector" not in peer or not any(k.startswith(names.GROUP) for k in labels)


def test_agent_sandbox_263_287_a_workspace_that_asks_for_nothing_is_denied_everything() -> None:
    """No policy by default was the hole: default-deny comes with the smallest spec, before any pod."""
    manifests = render(effective(), context()).manifests
    deny = manifest(render(effective(), context()), "NetworkPolicy", names.DEFAULT_DENY)
    order = [key_of(each) for each in manifests]

    assert deny["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    assert order.index(ObjectKey("NetworkPolicy", names.DEFAULT_DENY)) < min(
        index for index, key in enumerate(order) if is_pod_bearing(key)
    )


ALLOW_ALL: list[dict[str, Any]] = [
    {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]},
    {"podSelector": {"matchLabels": {"app": "worker"}}, "policyTypes": ["Egress"], "egress": [{}]},
    {"podSelector": {"matchLabels": {names.COMPONENT_LABEL: "runtime"}}, "policyTypes": ["Ingress"],
     "ingress": [{"from": [{"namespaceSelector": {}}]}]},
]  # fmt: skip


@pytest.mark.parametrize("spec", ALLOW_ALL, ids=["every pod", "own pods", "our pods"])
def test_agent_sandbox_795_and_capsule_measured_an_additive_policy_is_removed(spec: dict[str, Any]) -> None:
    """A policy beside the managed one re-opened egress; an owner's allow-all undid the default-deny."""
    store = _store()
    store.create({"kind": "NetworkPolicy", "metadata": {"name": "open", "namespace": SPACE}, "spec": spec})

    (action,) = _actions(one_round(store, SPEC))

    assert isinstance(action, Delete)
    assert (action.kind, action.name) == ("NetworkPolicy", "open")


def test_agent_sandbox_1215_a_stale_reading_makes_nothing_twice() -> None:
    """Ten times too many pods came of a stale cache: what is made has a fixed name, however often it is."""
    store = _store()
    expected = set(store.objects)
    stale = Store().observed(SPACE, UID)

    desired, _ = gathered(store, SPEC)
    keys = [key_of(each) for each in desired.manifests]

    assert len(set(keys)) == len(keys)
    assert stale.objects == {}
    for _ in range(10):
        for each in desired.manifests:
            store.apply(each)
        store.tick()
    assert set(store.objects) == expected


def test_agent_sandbox_1124_what_does_not_concern_a_pod_does_not_restart_it() -> None:
    """An upgrade restarted live work: only config, secrets, image and shape may."""
    changed = replace(
        SPEC,
        generation=7,
        quota=Quota(cpu="8", pods=50),
        access=(),
        remarks=("a remark",),
        allowed_images=("registry.example/other/*",),
        gateway_clients=(),
        lifecycle=replace(SPEC.lifecycle, ttl_seconds=60, idle_ttl_seconds=None),
    )

    assert _templates(changed, jwks='{"keys":[]}') == _templates(SPEC)


def test_agent_sandbox_hermes_no_secret_is_in_an_environment() -> None:
    """Warm pods got secrets by environment at build time, and shared them among users."""
    for name, template in _templates(SPEC).items():
        pod = template["spec"]
        for container in (*pod["containers"], *pod.get("initContainers", ())):
            assert "envFrom" not in container, name
            assert not [variable for variable in container["env"] if "valueFrom" in variable], name
            assert "planted" not in json.dumps(container), name


# agentic-operator-core


def test_agentic_operator_core_no_step_is_latched_by_status() -> None:
    """Steps were marked done in status and never done again: what is gone is seen in the cluster."""
    store = ready_store(SPEC)
    ready = judged(store, SPEC).status
    wanted = set(store.objects)
    for where in [where for where in store.objects if where[1] == SPACE]:
        del store.objects[where]
        store.applied.pop(where, None)

    verdict = judged(store, SPEC, ready)
    converge(store, SPEC)
    store.tick()

    assert said(verdict, Kind.READY)[0] is FALSE
    assert set(store.objects) == wanted


def test_agentic_operator_core_a_quota_changes_after_creation() -> None:
    """Quota was written once."""
    store = _store()

    converge(store, replace(SPEC, quota=replace_quota(SPEC.quota, pods=40)))

    assert store.objects["ResourceQuota", SPACE, "workspace"]["spec"]["hard"]["pods"] == "42"


def replace_quota(quota: Quota, **fields: Any) -> Quota:
    """The quota with other fields."""
    return quota.model_copy(update=fields)


@pytest.mark.parametrize(
    "labels", [{}, {names.MANAGED_BY_LABEL: names.MANAGED_BY}], ids=["bare", "managed-by"]
)
def test_agentic_operator_core_and_capsule_CVE_2024_39690_an_existing_namespace_is_not_taken(  # noqa: N802 - its name
    labels: dict[str, str],
) -> None:
    """What exists was taken for one's own, and the tenant's secrets were put there."""
    store = Store()
    store.create({"kind": "Namespace", "metadata": {"name": SPACE, "labels": labels}})
    store.log.clear()

    made, down = one_round(store, SPEC), _down(store)

    assert (made.waves, down.waves, store.log) == ((), (), [])
    assert said(judged(store, SPEC), Kind.NAMESPACE_READY) == (FALSE, Reason.NAMESPACE_CONFLICT)


def test_agentic_operator_core_the_namespace_has_an_owner() -> None:
    """Without one, a tenant whose finalizer was torn off leaves everything behind."""
    (space,) = (each for each in render(SPEC, context(SPEC)).manifests if each["kind"] == "Namespace")

    (owner,) = space["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == (names.WORKSPACE_KIND, UID, True)


def test_agentic_operator_core_a_rotated_secret_reaches_the_workspace() -> None:
    """Secrets were copied once and never again."""
    spec = effective(secrets=(secret("api-key"),), runtime=runtime(secrets=("api-key",)))
    ips = {"gateway": "198.19.128.10"}
    old, new = (
        render(spec, context(spec, service_ips=ips, secret_values={"api-key": SecretValue(value)}))
        for value in (b"old", b"new")
    )

    copies = [manifest(each, "Secret", "secret-api-key")["data"] for each in (old, new)]
    pods = [manifest(each, "Deployment", "runtime")["spec"]["template"] for each in (old, new)]

    assert copies[0] != copies[1]
    assert pods[0] != pods[1]


def test_agentic_operator_core_no_account_of_a_workspace_has_rights() -> None:
    """Its tenants' service account read every Secret of the namespace that they had named."""
    bound = [
        (subject["kind"], subject["name"], subject.get("namespace"))
        for each in render(SPEC, context(SPEC)).manifests
        if each["kind"] == "RoleBinding"
        for subject in each["subjects"]
    ]

    assert [("ServiceAccount", "bulkhead-operator", OPERATOR_NAMESPACE)] == [
        subject for subject in bound if subject[0] == "ServiceAccount"
    ]
    assert len(bound) == 1 + len(SPEC.access)


@pytest.mark.parametrize("amount", ["two", "", "1e400", "1Zi", "-1", "NaN", "9" * 400])
def test_agentic_operator_core_a_bad_quantity_is_a_violation(amount: str) -> None:
    """One bad string, parsed by a call that panics, and no tenant was reconciled any more."""
    stored = {
        "metadata": {
            "name": "acme",
            "uid": UID,
            "creationTimestamp": "2026-11-01T08:00:00Z",
            "generation": 1,
        },
        "spec": {"quota": {"memory": amount}},
    }

    violations = parse_workspace(stored).spec

    assert isinstance(violations, tuple)
    assert {violation.field for violation in violations} == {"spec.quota.memory"}


def test_agentic_operator_core_a_failure_is_told() -> None:
    """It returned before status was written: the user saw nothing."""
    failure = Unavailable("apply", "Deployment", SPACE, "x", status=503, reason="No", message="etcd is away")

    verdict = judged(Store(), SPEC, NEW, failure=failure)

    assert said(verdict, Kind.READY) == (FALSE, Reason.API_ERROR)
    assert str(failure) in str(verdict.status.conditions)


# Capsule


@pytest.mark.parametrize("stripped", ["labels", "ownerReferences"])
def test_capsule_CVE_2022_46167_stripping_a_mark_frees_nothing(stripped: str) -> None:  # noqa: N802 - its name
    """A tenant stripped the owner reference and was out of all enforcement: both are put back."""
    store = _store()
    live = store.edit("Namespace", None, SPACE)
    live["metadata"][stripped] = type(live["metadata"][stripped])()
    recorded = live["metadata"]["uid"]

    assert namespace_is_ours(store.observed(SPACE, UID, namespace_uid=recorded), UID)
    made = one_round(store, SPEC, namespace_uid=recorded)

    assert [action.drift for action in _actions(made)] == [True]
    assert store.objects["Namespace", None, SPACE]["metadata"][stripped]


def test_capsule_CVE_2025_55205_nothing_is_written_outside_the_workspaces_namespace() -> None:  # noqa: N802 - its name
    """Labels were injected into system namespaces: every manifest lies in the one derived namespace."""
    for each in render(SPEC, context(SPEC)).manifests:
        metadata = each["metadata"]
        where = metadata["name"] if each["kind"] == "Namespace" else metadata["namespace"]
        assert where == SPACE
    assert SPACE.startswith("bh-")


def test_capsule_CVE_2026_22872_no_tenant_manifest_is_applied_for_a_tenant() -> None:  # noqa: N802 - its name
    """Tenants had cluster-scoped objects made with the controller's rights: only these kinds are made."""
    assert {each["kind"] for each in render(SPEC, context(SPEC)).manifests} == {
        "Namespace",
        "RoleBinding",
        "ResourceQuota",
        "LimitRange",
        "ServiceAccount",
        "NetworkPolicy",
        "Secret",
        "PersistentVolumeClaim",
        "Service",
        "Deployment",
    }


def test_capsule_GHSA_2ww6_hf35_mfjm_a_namespaces_status_decides_nothing() -> None:  # noqa: N802 - its name
    """A namespace was hijacked through its status subresource: whose it is does not stand there."""
    foreign = {"name": SPACE, "uid": "x", "labels": {}}
    store = Store()
    store.create({"kind": "Namespace", "metadata": foreign, "status": {"owner": UID, "phase": "Active"}})
    mine = _store()
    mine.edit("Namespace", None, SPACE)["status"] = {"phase": "Terminating", "owner": "mallory"}

    assert not namespace_is_ours(store.observed(SPACE, UID), UID)
    assert one_round(mine, SPEC).empty


def test_capsule_GHSA_gjw4_3v3v_rqxg_a_policy_with_our_marks_is_no_policy_of_ours() -> None:  # noqa: N802 - its name
    """Forbidden metadata got past the check: our labels on an open policy must not keep it."""
    store = ready_store(SPEC)
    labels = names.workspace_labels(SPEC.name, SPEC.uid)
    metadata = {"name": "open", "namespace": SPACE, "labels": labels}
    store.create({"kind": "NetworkPolicy", "metadata": metadata, "spec": ALLOW_ALL[0]})

    said_of_network = said(judged(store, SPEC), Kind.NETWORK_ISOLATED)
    one_round(store, SPEC)

    assert said_of_network == (FALSE, Reason.NOT_READY)
    assert ("NetworkPolicy", SPACE, "open") not in store.objects


# Kubernetes' own guidance: the numbers are those of the list of pitfalls


def _policies() -> list[Manifest]:
    return [each for each in render(SPEC, context(SPEC)).manifests if each["kind"] == "NetworkPolicy"]


def test_kubernetes_pitfall_2_no_empty_namespace_selector() -> None:
    """It means every namespace."""
    assert '"namespaceSelector": {}' not in json.dumps(_policies())


def test_kubernetes_pitfall_3_anywhere_is_never_without_exceptions() -> None:
    """`0.0.0.0/0` without the cluster's ranges reaches Services, nodes and metadata."""
    blocks = [
        peer["ipBlock"]
        for policy in _policies()
        for rule in policy["spec"].get("egress", [])
        for peer in rule["to"]
        if "ipBlock" in peer
    ]
    anywhere = [block for block in blocks if block["cidr"] in {"0.0.0.0/0", "::/0"}]

    assert len(anywhere) == 2
    assert "198.18.0.0/15" in anywhere[0]["except"]
    assert "fc00::/7" in anywhere[1]["except"]


def test_kubernetes_pitfall_4_untrusted_pods_have_no_way_to_a_resolver() -> None:
    """DNS to the cluster's resolver still recurses: a tunnel."""
    with_dns = {
        policy["metadata"]["name"]
        for policy in _policies()
        for rule in policy["spec"].get("egress", [])
        if any(port["port"] == 53 for port in rule["ports"])
    }

    assert with_dns == {"gateway", "egress"}


def test_kubernetes_pitfall_5_policies_come_before_pods_and_a_guard_before_tenant_code() -> None:
    """A new pod may run unfiltered until the engine has caught up."""
    made = [key_of(each) for each in render(SPEC, context(SPEC)).manifests]
    policies = [index for index, key in enumerate(made) if key.kind == "NetworkPolicy"]
    pods = [index for index, key in enumerate(made) if is_pod_bearing(key)]
    guarded = {
        name
        for name, pod in _templates(SPEC).items()
        if pod["spec"].get("initContainers", [{}])[0].get("name") == "guard"
    }

    assert max(policies) < min(pods)
    assert guarded == {"runtime", "tool-shell", "tool-search"}


def test_kubernetes_pitfall_6_services_stay_inside() -> None:
    """ExternalName, externalIPs, NodePort and LoadBalancer are ways in or out (CVE-2020-8554)."""
    for each in (m for m in render(SPEC, context(SPEC)).manifests if m["kind"] == "Service"):
        assert each["spec"]["type"] == "ClusterIP"
        assert each["spec"]["selector"]
        assert each["spec"].keys() == {"type", "selector", "ports"}


def test_kubernetes_pitfall_8_no_pod_has_the_default_account_or_a_token() -> None:
    """A token that nobody needs is a token that somebody finds."""
    accounts = {
        m["metadata"]["name"]: m
        for m in render(SPEC, context(SPEC)).manifests
        if m["kind"] == "ServiceAccount"
    }
    for name, template in _templates(SPEC).items():
        assert template["spec"]["serviceAccountName"] == name
        assert template["spec"]["automountServiceAccountToken"] is False
        assert accounts[name]["automountServiceAccountToken"] is False


def test_kubernetes_pitfall_10_a_foreign_finalizer_is_named_and_never_removed() -> None:
    """Forcing it leaves somebody's outside resources behind."""
    store = _store()
    live = store.objects["Namespace", None, SPACE]
    live["metadata"] |= {"deletionTimestamp": "2026-11-01T09:00:00Z", "finalizers": ["example.com/hold"]}
    store.objects["Secret", SPACE, "session-keys"]["metadata"]["finalizers"] = ["example.com/keep"]

    down = _down(store)

    assert down.waves == ()
    assert "example.com/keep" in down.waiting_for


def test_kubernetes_pitfall_13_rights_come_first_and_go_first() -> None:
    """A binding that outlives what narrows it grants too much."""
    down = _down(_store())

    bindings = {a.name for a in down.waves[0] if isinstance(a, Delete) and a.kind == "RoleBinding"}
    assert bindings == {"tenant-view", "tenant-operate", "tenant-admin"}
    assert wave_of(ObjectKey("RoleBinding", names.OPERATOR_BINDING)) is Wave.RIGHTS


def test_kubernetes_pitfall_14_pod_security_is_enforced_at_a_stated_version() -> None:
    """`warn` and `audit` refuse nothing, and an unpinned version can be lowered."""
    (space,) = (each for each in render(SPEC, context(SPEC)).manifests if each["kind"] == "Namespace")

    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert space["metadata"]["labels"]["pod-security.kubernetes.io/enforce-version"] == "latest"


def test_kubernetes_pitfall_15_the_signing_key_goes_before_any_pod() -> None:
    """To delete a Secret or a pod does not revoke what was signed: without its key nothing new is."""
    store = _store(effective(tools=(tool("shell"),)))
    key = {"name": names.signing_key(UID), "namespace": OPERATOR_NAMESPACE}
    store.create({"kind": "Secret", "metadata": key, "type": "Opaque", "data": {}})

    down = _down(store)

    first = {(a.kind, a.name) for a in down.waves[0] if isinstance(a, Delete)}
    assert {("Secret", names.signing_key(UID)), ("Secret", "session-keys")} <= first
    assert not any(kind in {"Deployment", "Pod"} for kind, _ in first)
