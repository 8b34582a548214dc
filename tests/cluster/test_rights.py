"""The operator's rights against the API server's audit log: each was used, and no Secret was read elsewhere.

Runs after all other cluster tests (conftest.py), because their work is the use. What they leave out is done
here: additions to every kind that a replace mends, all that a changed spec removes, and pods of each built-in
controller at teardown.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from kubelive import Live, Ref, wait_until
from kubelive.fences import OPERATOR_ACCOUNT, operator_user
from kubelive.install import OPERATOR_NAMESPACE, image_references
from kubelive.workspaces import gone, namespace_of, ready, workspace

from .conftest import SECRET_NAMESPACE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Operator

pytestmark = [pytest.mark.timeout(600)]

_COLLECTED_AT = datetime.now(UTC)  # before the first test of the run; older entries are other versions' work
_NAME = "rights"
_WORKSPACES = "bh-"
_RBAC = "rbac.authorization.k8s.io"

Manifest = dict[str, Any]
Right = tuple[str, str, str, str, str]  # role, group, resource, name or empty, verb

# What one run cannot show, each with the test that does.
_ISSUERS = {"bulkhead-issuer-ca", "bulkhead-issuer-tls"}  # the issuer's CA and certificate
_EXAMPLES_KEYS = "model-keys"  # examples/model-key.yaml lets the operator read its one Secret
_SELDOM: dict[Right, str] = {
    ("bulkhead-operator", "", "configmaps", "bulkhead-issuer-ca", "update"): (
        "a CA is exchanged after six years: tests/unit/engine/test_issuer_tls.py"
    ),
    ("bulkhead-events", "events.k8s.io", "events", "", "patch"): (
        "an equal Event is counted after five minutes: tests/unit/kube/test_events.py"
    ),
    ("bulkhead-workspace", "apps", "deployments", "gateway", "get"): (
        "an idle workspace whose gateway does not answer: tests/unit/engine/test_reconcile.py"
    ),
}


@dataclass(frozen=True, slots=True)
class _Request:
    """One request of the operator that was answered with success."""

    group: str
    resource: str  # with the subresource
    namespace: str
    name: str
    verbs: frozenset[str]


@pytest.fixture(scope="module")
def requests(live: Live, operator: Operator) -> list[_Request]:
    """Everything that the operator did since this run began, with the rest of what it can do just now."""
    _start_from_nothing(live, operator)
    _class_and_workspace(live)
    namespace = namespace_of(live, _NAME)
    _add_to_everything(live, namespace)
    _rotate(live)
    _ask_for_less(live, namespace)
    _make_strays(live, namespace)
    live.delete(Ref("TenantWorkspace", _NAME))
    gone(live, _NAME, namespace)
    live.delete(Ref("WorkspaceClass", _NAME))
    wait_until("the class is let go", lambda: live.find(Ref("WorkspaceClass", _NAME)) is None)
    return _successes()


def test_every_right_of_the_operator_is_used(live: Live, requests: list[_Request]) -> None:
    """A right that nothing uses is one that only an intruder would."""
    unused = [
        right
        for role, namespace in _held(live)
        for right in _rights(role)
        if right not in _SELDOM and not any(_uses(each, right, namespace) for each in requests)
    ]

    assert [] == unused


def test_what_is_seldom_used_is_still_granted(live: Live) -> None:
    """An excuse for a right that is gone would hide the next one of that name."""
    granted = {right for role, _ in _held(live) for right in _rights(role)}

    assert set() == _SELDOM.keys() - granted


def test_no_secret_is_read_but_where_it_is_meant(requests: list[_Request]) -> None:
    """Signing keys, sources by name, and what lies in workspaces: any other Secret is somebody else's."""
    reads = [
        each for each in requests if each.resource == "secrets" and each.verbs & {"get", "list", "watch"}
    ]
    elsewhere = {
        (each.namespace, each.name, *sorted(each.verbs))
        for each in reads
        if not each.namespace.startswith(_WORKSPACES)
        and not (each.namespace == OPERATOR_NAMESPACE and each.name.startswith("signing-key-"))
        and not (each.namespace == OPERATOR_NAMESPACE and each.name in _ISSUERS)
        and not (each.namespace in {SECRET_NAMESPACE, _EXAMPLES_KEYS} and each.name)
    }

    assert reads, "the log must show reads of Secrets, or this test shows nothing"
    assert set() == elsewhere


def _start_from_nothing(live: Live, operator: Operator) -> None:
    """Watches are opened and the Lease is made, as at the first installation."""
    operator.stop()
    live.delete(Ref("Lease", OPERATOR_ACCOUNT, OPERATOR_NAMESPACE))
    published = Ref("ConfigMap", "bulkhead-issuer-ca", OPERATOR_NAMESPACE)
    live.delete(published)
    operator.start()
    wait_until("the issuer's CA published", lambda: live.find(published), timeout_seconds=60)
    operator.stop()
    operator.start()  # and this one finds what is there


def _class_and_workspace(live: Live) -> None:
    live.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": _NAME, "namespace": SECRET_NAMESPACE},
            "stringData": {"token": "only-a-test"},
        }
    )
    live.apply(
        {
            "apiVersion": "bulkhead.dev/v1alpha1",
            "kind": "WorkspaceClass",
            "metadata": {"name": _NAME},
            "spec": {"allowed": {"secretNamespaces": [SECRET_NAMESPACE]}},
        }
    )
    source = {"namespace": SECRET_NAMESPACE, "name": _NAME, "key": "token"}
    live.apply(
        workspace(
            _NAME,
            className=_NAME,
            quota={"cpu": "8", "memory": "8Gi", "pods": 30},
            runtime={"storage": {"size": "64Mi"}},
            secrets=[{"name": "api", "from": source}],
            tools=[{"name": "shell"}, {"name": "spare", "secrets": ["api"]}],
            access=[
                {"kind": "Group", "name": f"rights-{role}", "role": role}
                for role in ("view", "operate", "admin")
            ],
        )
    )
    ready(live, _NAME)


def _rotate(live: Live) -> None:
    """The signing key's Secret is replaced."""
    uid = live.get(Ref("TenantWorkspace", _NAME))["metadata"]["uid"]
    key = Ref("Secret", f"signing-key-{uid}", OPERATOR_NAMESPACE)
    before = live.get(key)["data"]["jwks.json"]
    live.merge(
        Ref("TenantWorkspace", _NAME), {"metadata": {"annotations": {"bulkhead.dev/rotate-signing-key": "1"}}}
    )
    wait_until(
        "the next public key", lambda: live.get(key)["data"]["jwks.json"] != before, timeout_seconds=60
    )


def _add_to_everything(live: Live, namespace: str) -> None:
    """Additions survive a server-side apply: each of these is mended by a replace, or by a plain patch."""
    stranger = {"apiGroup": _RBAC, "kind": "User", "name": "mallory"}
    item = {"type": "Pod", "max": {"cpu": "64"}}
    edits: tuple[tuple[Ref, Manifest], ...] = (
        # First: Secrets are not watched, the repair of what follows finds it.
        (Ref("Secret", "session-keys", namespace), {"data": {"extra": "eA=="}}),
        (Ref("ResourceQuota", "workspace", namespace), {"spec": {"hard": {"requests.example.com/gpu": "9"}}}),
        (Ref("LimitRange", "workspace", namespace), {"spec": {"limits": [item]}}),
        (Ref("NetworkPolicy", "default-deny", namespace), {"spec": {"ingress": [{}], "egress": [{}]}}),
        (Ref("Service", "gateway", namespace), {"spec": {"publishNotReadyAddresses": True}}),
        (Ref("Deployment", "tool-shell", namespace), {"spec": {"paused": True}}),
        (Ref("RoleBinding", "tenant-view", namespace), {"subjects": [stranger, stranger | {"name": "eve"}]}),
        # The operator's own rights there, taken from it whole.
        (
            Ref("RoleBinding", OPERATOR_ACCOUNT, namespace),
            {"subjects": [stranger, stranger | {"name": "eve"}]},
        ),
        (
            Ref("Namespace", namespace),
            {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}},
        ),
    )
    glass = Live.break_glass()
    probes = []
    for ref, patch in edits:
        probes.append((ref, _content(live.get(ref))))
        glass.merge(ref, patch)
    for ref, before in probes:
        wait_until(
            f"{ref.kind} {ref.name} put back",
            lambda ref=ref, before=before: _content(live.get(ref)) == before,  # type: ignore[misc]
            timeout_seconds=60,
        )
    ready(live, _NAME)


def _content(found: Manifest) -> Manifest:
    content = {
        key: found[key]
        for key in ("spec", "data", "subjects", "roleRef")
        if found["kind"] != "Namespace" and key in found
    }
    return content | {"labels": found["metadata"].get("labels")}


def _ask_for_less(live: Live, namespace: str) -> None:
    """What the spec no longer has goes: a tool, the runtime with its volume, a Secret, people."""
    live.merge(
        Ref("TenantWorkspace", _NAME),
        {"spec": {"tools": [{"name": "shell"}], "runtime": None, "secrets": None, "access": None}},
    )
    left = [
        Ref("Deployment", "tool-spare", namespace),
        Ref("Service", "tool-spare", namespace),
        Ref("ServiceAccount", "tool-spare", namespace),
        Ref("NetworkPolicy", "tool-spare", namespace),
        Ref("PersistentVolumeClaim", "runtime-data", namespace),
        Ref("RoleBinding", "tenant-admin", namespace),
        Ref("Secret", "secret-api", namespace),
    ]
    wait_until(
        "what the spec no longer has is gone",
        lambda: all(live.find(ref) is None for ref in left),
        timeout_seconds=120,
        describe=lambda: ", ".join(f"{ref.kind} {ref.name}" for ref in left if live.find(ref)),
    )


def _make_strays(live: Live, namespace: str) -> None:
    """A pod of each controller that makes pods, and one of nobody's; none ever runs."""
    labels = {"stray": "yes"}
    spec = {
        "schedulingGates": [{"name": "bulkhead.test/never"}],
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "main",
                "image": image_references()["sandbox"],
                "command": ["sleep", "infinity"],
                "resources": {"requests": {"cpu": "1m"}, "limits": {"cpu": "10m", "memory": "16Mi"}},
                "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
            }
        ],
    }
    template = {"metadata": {"labels": labels}, "spec": spec}
    selected = {"selector": {"matchLabels": labels}, "template": template}
    once = {"template": template | {"spec": spec | {"restartPolicy": "Never"}}}
    kinds: dict[str, tuple[str, Manifest]] = {
        "Pod": ("v1", spec),
        "ReplicaSet": ("apps/v1", selected),
        "StatefulSet": ("apps/v1", selected | {"serviceName": "stray"}),
        "Job": ("batch/v1", once),
    }
    for kind, (version, body) in kinds.items():
        # A pod with the labels of the ReplicaSet would be adopted by it, and then be nobody's no more.
        mine = {"stray": "alone"} if kind == "Pod" else labels
        metadata = {"name": f"stray-{kind.lower()}", "namespace": namespace, "labels": mine}
        live.create({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": body})

    def owners() -> set[str]:
        return {
            owner["kind"]
            for pod in live.items("Pod", namespace)
            for owner in pod["metadata"].get("ownerReferences", [])
        }

    wait_until("a pod of each controller", lambda: owners() >= kinds.keys() - {"Pod"}, timeout_seconds=60)


def _successes() -> list[_Request]:
    log = subprocess.run(
        [sys.executable, "-m", "cluster", "audit-log"], capture_output=True, text=True, check=True
    ).stdout
    user = operator_user()
    entries = [json.loads(line) for line in log.splitlines() if user in line]
    return [
        _request(entry)
        for entry in entries
        if entry["user"]["username"] == user
        and datetime.fromisoformat(entry["requestReceivedTimestamp"]) >= _COLLECTED_AT
        and "objectRef" in entry
        and entry.get("responseStatus", {}).get("code", 500) < 300
    ]


def _request(entry: Manifest) -> _Request:
    target = entry["objectRef"]
    # A server-side apply that makes the object needs, and uses, both rights; the log calls it a patch.
    created = entry["verb"] == "patch" and entry["responseStatus"]["code"] == 201
    return _Request(
        group=target.get("apiGroup", ""),
        resource="/".join(filter(None, (target["resource"], target.get("subresource")))),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        verbs=frozenset({entry["verb"], "create"} if created else {entry["verb"]}),
    )


def _held(live: Live) -> Iterator[tuple[Manifest, Callable[[str], bool]]]:
    """Every role of the operator, and whether it counts in a namespace."""
    yield live.get(Ref("ClusterRole", "bulkhead-operator")), lambda _: True
    yield (
        live.get(Ref("ClusterRole", "bulkhead-workspace")),
        lambda namespace: namespace.startswith(_WORKSPACES),
    )
    for name, where in (
        ("bulkhead-operator", OPERATOR_NAMESPACE),
        ("bulkhead-events", "default"),
        ("bulkhead-secret-source", SECRET_NAMESPACE),
    ):
        yield live.get(Ref("Role", name, where)), lambda namespace, where=where: namespace == where  # type: ignore[misc]


def _rights(role: Manifest) -> Iterator[Right]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames", [""]):
                    for verb in rule["verbs"]:
                        yield role["metadata"]["name"], group, resource, name, verb


def _uses(request: _Request, right: Right, counts_in: Callable[[str], bool]) -> bool:
    _, group, resource, name, verb = right
    if verb == "bind":  # checked when a binding to the role is made, and not logged by itself
        return (
            (request.group, request.resource) == (_RBAC, "rolebindings")
            and "create" in request.verbs
            and _bound_role(request.name) == name
        )
    return (
        (request.group, request.resource) == (group, resource)
        and verb in request.verbs
        and (not name or request.name == name)
        and counts_in(request.namespace)
    )


def _bound_role(binding: str) -> str:
    return "bulkhead-workspace" if binding == OPERATOR_ACCOUNT else f"bulkhead-{binding}"
