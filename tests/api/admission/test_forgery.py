"""Nothing that the operator did not make passes for what it made: by label, template, name or relation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.admission import ADMITTED, Request, apply, ask, create, in_space, made, merge, replace
from support.fenced import MINE, OWN, SPACE, UID, labels, pod, thing

if TYPE_CHECKING:
    from kubelive import Live

pytestmark = pytest.mark.usefixtures("space")

POLICY = "bulkhead-managed-objects"
CHOSEN = {"matchLabels": MINE}
Manifest = dict[str, Any]


def workload(kind: str, name: str = "x", template: dict[str, str] | None = None, **spec: Any) -> Manifest:
    body = {"metadata": {"labels": MINE | (template or {})}, "spec": pod("any", {})["spec"]}
    version = "batch/v1" if kind in {"Job", "CronJob"} else "apps/v1"
    return thing(version, kind, name, spec={"template": body} | spec)


OWN_WORK: dict[str, Request] = {
    "ConfigMap": made(thing("v1", "ConfigMap", "x"), "configmaps"),
    "ConfigMap edited": merge(in_space("v1", "configmaps", "own"), {"metadata": {"labels": {"a": "b"}}}),
    "name that begins like ours": made(thing("v1", "ConfigMap", "gateway-mine"), "configmaps"),
    "name with a prefix": create(
        in_space("v1", "configmaps"),
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"generateName": "toolbox-", "namespace": SPACE},
        },
    ),
    "Deployment": made(workload("Deployment", selector=CHOSEN), "deployments"),
    "pod relabelled": merge(in_space("v1", "pods", "own"), {"metadata": {"labels": {"a": "b"}}}),
    "ConfigMap of another": made(
        {
            **thing("v1", "ConfigMap", "x"),
            "metadata": {
                "name": "x",
                "namespace": SPACE,
                "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "own", "uid": "1"}],
            },
        },
        "configmaps",
    ),
    "managed by Helm": made(
        thing("v1", "ConfigMap", "x", {"app.kubernetes.io/managed-by": "Helm"}), "configmaps"
    ),
}


@pytest.mark.parametrize("case", OWN_WORK)
def test_a_tenants_own_objects_are_its_own(tenant: Live, case: str) -> None:
    """The control."""
    assert ADMITTED == OWN_WORK[case].by(tenant)


COMPONENT = {"bulkhead.dev/component": "gateway"}
MANAGED = {"app.kubernetes.io/managed-by": "bulkhead"}
TOOL = {"bulkhead.dev/tool": "search"}

FORGED_LABELS: dict[str, Request] = {
    "made": made(thing("v1", "ConfigMap", "x", labels()), "configmaps"),
    "made with one": made(thing("v1", "ConfigMap", "x", COMPONENT), "configmaps"),
    "made as managed": made(thing("v1", "ConfigMap", "x", MANAGED), "configmaps"),
    "made by apply": apply(in_space("v1", "configmaps", "x"), thing("v1", "ConfigMap", "x", TOOL)),
    "put on": merge(in_space("v1", "configmaps", "own"), {"metadata": {"labels": COMPONENT}}),
    "put on by replace": replace(
        in_space("v1", "configmaps", "own"), thing("v1", "ConfigMap", "own", labels("gateway"))
    ),
    "pod": made(pod("x", labels("gateway")), "pods"),
    "pod becomes a gateway": merge(in_space("v1", "pods", "own"), {"metadata": {"labels": COMPONENT}}),
    "pod becomes a tool": merge(in_space("v1", "pods", "own"), {"metadata": {"labels": TOOL}}),
    "pod by its status": merge(
        in_space("v1", "pods", "own", "status"), {"metadata": {"labels": COMPONENT}, "status": {}}
    ),
}


@pytest.mark.parametrize("case", FORGED_LABELS)
def test_our_labels_cannot_be_forged(admin: Live, uid: str, case: str) -> None:
    """NetworkPolicies and Services choose pods by these labels: whoever wears them is the gateway."""
    outcome = ask(admin, FORGED_LABELS[case], uid)

    assert (403, POLICY) == (outcome.status, outcome.policy), outcome.message
    assert "use labels of your own" in outcome.message


CLAIM = {
    "metadata": {"labels": MANAGED, "name": "x"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}
EPHEMERAL = {
    "volumes": [
        {
            "name": "x",
            "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": MANAGED}, "spec": CLAIM["spec"]}},
        }
    ]
}
POD_SPEC = pod("any", {})["spec"]
ONCE = POD_SPEC | {"restartPolicy": "Never"}
FORGED = {"metadata": {"labels": MINE | COMPONENT}, "spec": POD_SPEC}

FORGED_TEMPLATES: dict[str, Request] = {
    "Deployment": made(workload("Deployment", template=COMPONENT, selector=CHOSEN), "deployments"),
    "ReplicaSet": made(workload("ReplicaSet", template=COMPONENT, selector=CHOSEN), "replicasets"),
    "StatefulSet": made(
        workload("StatefulSet", template=COMPONENT, selector=CHOSEN, serviceName="x"), "statefulsets"
    ),
    "StatefulSet's claims": made(
        workload("StatefulSet", selector=CHOSEN, serviceName="x", volumeClaimTemplates=[CLAIM]),
        "statefulsets",
    ),
    "DaemonSet": made(workload("DaemonSet", template=COMPONENT, selector=CHOSEN), "daemonsets"),
    "ReplicationController": made(
        thing("v1", "ReplicationController", "x", spec={"selector": MINE, "template": FORGED}),
        "replicationcontrollers",
    ),
    "Job": made(
        thing("batch/v1", "Job", "x", spec={"template": FORGED | {"spec": ONCE}}), "jobs"
    ),
    "CronJob's pods": made(
        thing(
            "batch/v1", "CronJob", "x",
            spec={"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": FORGED | {"spec": ONCE}}}},
        ),
        "cronjobs",
    ),
    "CronJob's Jobs": made(
        thing(
            "batch/v1", "CronJob", "x",
            spec={
                "schedule": "0 0 1 1 *",
                "jobTemplate": {"metadata": {"labels": MANAGED}, "spec": {"template": {"spec": ONCE}}},
            },
        ),
        "cronjobs",
    ),
    "PodTemplate": made(thing("v1", "PodTemplate", "x", template=FORGED), "podtemplates"),
    "ephemeral volume": made(
        workload("Deployment", selector=CHOSEN)
        | {
            "spec": {
                "selector": CHOSEN,
                "template": {"metadata": {"labels": MINE}, "spec": POD_SPEC | EPHEMERAL},
            }
        },
        "deployments",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FORGED_TEMPLATES)
def test_no_template_forges_our_labels(admin: Live, case: str) -> None:
    """The pod would be made by a controller of Kubernetes' own, which may write any label."""
    outcome = FORGED_TEMPLATES[case].by(admin)

    assert (403, POLICY) == (outcome.status, outcome.policy), outcome.message
    assert "its template would put labels" in outcome.message


COPIES: dict[str, Request] = {
    **{
        source: made(
            thing("v1", "PersistentVolumeClaim", "x", spec=CLAIM["spec"] | {source: reference}),
            "persistentvolumeclaims",
        )
        for source, reference in (
            ("dataSource", {"kind": "PersistentVolumeClaim", "name": "gateway-data"}),
            ("dataSourceRef", {"kind": "PersistentVolumeClaim", "name": "gateway-data"}),
        )
    },
    "StatefulSet's claims": made(
        workload(
            "StatefulSet",
            selector=CHOSEN,
            serviceName="x",
            volumeClaimTemplates=[
                {
                    "metadata": {"name": "x"},
                    "spec": CLAIM["spec"]
                    | {"dataSource": {"kind": "PersistentVolumeClaim", "name": "gateway-data"}},
                }
            ],
        ),
        "statefulsets",
    ),
}


@pytest.mark.parametrize("case", COPIES)
def test_the_gateways_volume_cannot_be_copied(admin: Live, case: str) -> None:
    """What every user of the workspace has said is on it."""
    outcome = COPIES[case].by(admin)

    assert (403, POLICY) == (outcome.status, outcome.policy), outcome.message
    assert "the gateway's volume cannot be copied" in outcome.message


RESERVED = [
    "gateway", "egress", "runtime", "tool-search", "guard", "default-deny", "workspace", "session-keys",
    "secret-search", "gateway-keys", "model-key", "gateway-data", "runtime-data",
    "bulkhead-operator", "tenant-view", "tenant-operate", "tenant-admin",
]  # fmt: skip
SCALE = {"spec": {"replicas": 9}}

RESERVED_NAMES: dict[str, Request] = {
    **{name: made(thing("v1", "ConfigMap", name), "configmaps") for name in RESERVED},
    "generated name": create(
        in_space("v1", "configmaps"),
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "tool-", "namespace": SPACE}},
    ),
    "scale of the gateway": merge(in_space("apps/v1", "deployments", "gateway", "scale"), SCALE),
    "token of the gateway": create(
        in_space("v1", "serviceaccounts", "gateway", "token"),
        {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
    ),
    "addresses of the gateway": made(
        thing(
            "v1",
            "Endpoints",
            "gateway",
            subsets=[{"addresses": [{"ip": "10.0.0.9"}], "ports": [{"port": 80}]}],
        ),
        "endpoints",
    ),
}


@pytest.mark.parametrize("case", RESERVED_NAMES)
def test_our_names_are_reserved(admin: Live, case: str) -> None:
    """What has the name first would be taken for ours, or keep ours from being made."""
    outcome = RESERVED_NAMES[case].by(admin)

    assert (403, POLICY) == (outcome.status, outcome.policy), outcome.message
    assert "this name is reserved" in outcome.message


def owner(api_version: str, kind: str, name: str, uid: str, **more: bool) -> Request:
    reference = {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, **more}
    return merge(in_space("v1", "configmaps", "own"), {"metadata": {"ownerReferences": [reference]}})


SLICE = thing(
    "discovery.k8s.io/v1", "EndpointSlice", "x", {"kubernetes.io/service-name": "gateway"},
    addressType="IPv4", endpoints=[{"addresses": ["10.0.0.9"]}], ports=[{"port": 8080}],
)  # fmt: skip
SCALER = thing(
    "autoscaling/v2", "HorizontalPodAutoscaler", "x",
    spec={
        "maxReplicas": 9,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "runtime"},
    },
)  # fmt: skip
ACCOUNT_TOKEN = thing("v1", "Secret", "x", type="kubernetes.io/service-account-token")
ACCOUNT_TOKEN["metadata"]["annotations"] = {"kubernetes.io/service-account.name": "gateway"}

BACK_DOORS: dict[str, tuple[Request, str]] = {
    "holds up a Deployment": (
        owner("apps/v1", "Deployment", "gateway", "1", blockOwnerDeletion=True),
        "its owner reference",
    ),
    "passes for a ReplicaSet's": (
        owner("apps/v1", "ReplicaSet", "gateway-5d5d5", "1", controller=True),
        "its owner reference",
    ),
    "passes for a tool's": (owner("apps/v1", "ReplicaSet", "tool-search-5d5", "1"), "its owner reference"),
    "holds up a workspace": (
        owner("bulkhead.dev/v1alpha1", "TenantWorkspace", "fences", UID, blockOwnerDeletion=True),
        "its owner reference",
    ),
    "takes the gateway's traffic": (made(SLICE, "endpointslices"), "adds addresses to Service gateway"),
    "scales the runtime": (made(SCALER, "horizontalpodautoscalers"), "scales what the operator keeps"),
    "becomes a token": (made(ACCOUNT_TOKEN, "secrets"), "has a token"),
    "chooses a node": (
        create(
            in_space("v1", "pods", "own", "binding"),
            {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": "own"},
                "target": {"kind": "Node", "name": "x"},
            },
        ),
        "only the scheduler",
    ),
    "lays down a key": (
        made(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "signing-key-x", "namespace": OWN}},
            "secrets",
        ),
        "the operator makes signing keys",
    ),
}


@pytest.mark.parametrize("case", BACK_DOORS)
def test_no_back_door_to_what_is_ours(admin: Live, uid: str, case: str) -> None:
    """None of these carries a label or a name of ours, and each would act on what does."""
    request, words = BACK_DOORS[case]

    outcome = ask(admin, request, uid)

    assert (403, POLICY) == (outcome.status, outcome.policy), outcome.message
    assert words in outcome.message
