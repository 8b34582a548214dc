"""The chart's rights and admission policies without its pods: the fences, on any real API server.

They work on a bare API server without nodes, so that tests run the operator under its own identity, with no
more rights than it has in production and behind the same policies.
"""

from __future__ import annotations

import contextlib
import functools
import json
import uuid
from typing import TYPE_CHECKING, Any, Final

import yaml

from kubelive.install import OPERATOR_NAMESPACE, RELEASE, ROOT, helm
from kubelive.kubectl import kubectl
from kubelive.live import ApiRefusal, Live, Ref
from kubelive.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["OPERATOR_ACCOUNT", "fences_down", "install_fences", "operator_kubeconfig", "operator_user"]

OPERATOR_ACCOUNT: Final = "bulkhead-operator"
_TOKEN_SECONDS: Final = 7200
_PROBE_NAMESPACE: Final = "default"
_ADMISSION: Final = "admissionregistration.k8s.io/v1"

# In this order, and the bindings of policies last: see _settled.
_KINDS: Final = (
    "Namespace",
    "CustomResourceDefinition",
    "ServiceAccount",
    "ClusterRole",
    "Role",
    "ClusterRoleBinding",
    "RoleBinding",
    "ValidatingAdmissionPolicy",
    "MutatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "MutatingAdmissionPolicyBinding",
)

Manifest = dict[str, Any]


def operator_user(operator_namespace: str = OPERATOR_NAMESPACE) -> str:
    """The operator's user name, for impersonation."""
    return f"system:serviceaccount:{operator_namespace}:{OPERATOR_ACCOUNT}"


def install_fences(operator_namespace: str = OPERATOR_NAMESPACE, *, values: tuple[str, ...] = ()) -> None:
    """The rights and policies of this checkout's chart are in force when this returns.

    Where Helm installed the chart already, its objects are used as they are. `values`: for `helm --set`.
    """
    live = Live()
    if not _is_installed(live):
        manifests = _manifests(live, operator_namespace, values)
        kubectl(
            # Helm's own field manager: a later `helm upgrade` meets no conflict.
            "apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", "-",
            stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}),
        )  # fmt: skip
    names = [crd["metadata"]["name"] for crd in live.items("CustomResourceDefinition")]
    ours = [f"crd/{name}" for name in names if name.endswith(".bulkhead.dev")]
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *ours)
    _wait_for_rights(live, operator_namespace)
    _wait_for_policies(live)


@contextlib.contextmanager
def fences_down() -> Iterator[None]:
    """No policy of the chart is in force meanwhile: for tests of what is to be done in spite of that."""
    live = Live()
    bindings = [
        each | {"apiVersion": _ADMISSION, "kind": kind}
        for kind in _KINDS
        if kind.endswith("PolicyBinding")
        for each in live.items(kind)
        if each["metadata"]["name"].startswith("bulkhead-")
    ]
    for each in bindings:
        live.delete(Ref(each["kind"], each["metadata"]["name"]))
    if bindings:
        _wait_for_policies(live)
    try:
        yield
    finally:
        for each in bindings:
            kept = {key: each["metadata"].get(key) for key in ("name", "labels", "annotations")}
            live.create({**each, "metadata": kept})
        if bindings:
            _wait_for_policies(live)


def operator_kubeconfig(path: Path, operator_namespace: str = OPERATOR_NAMESPACE) -> Path:
    """A kubeconfig at `path` with a fresh token of the operator's ServiceAccount, valid for two hours."""
    account = Ref("ServiceAccount", OPERATOR_ACCOUNT, operator_namespace)
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": _TOKEN_SECONDS},
    }
    token = Live().call("POST", f"{account.path}/token", request)["status"]["token"]
    view = json.loads(kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json").stdout)
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": view["clusters"][0]["cluster"]}],
        "users": [{"name": OPERATOR_ACCOUNT, "user": {"token": token}}],
        "contexts": [
            {
                "name": OPERATOR_ACCOUNT,
                "context": {"cluster": "cluster", "user": OPERATOR_ACCOUNT, "namespace": operator_namespace},
            }
        ],
        "current-context": OPERATOR_ACCOUNT,
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(config))
    return path


def _is_installed(live: Live) -> bool:
    role = live.find(Ref("ClusterRole", OPERATOR_ACCOUNT))
    return role is not None and "meta.helm.sh/release-name" in role["metadata"].get("annotations", {})


def _manifests(live: Live, operator_namespace: str, values: tuple[str, ...]) -> list[Manifest]:
    """What to apply, in order; with the namespaces that it needs."""
    text = helm(
        "template", RELEASE, str(ROOT / "charts/bulkhead"), "--namespace", operator_namespace,
        *_capabilities(live),
        *(part for value in values for part in ("--set", value)),
    )  # fmt: skip
    kept = [each for each in yaml.safe_load_all(text) if each and each["kind"] in _KINDS]
    namespaces = {operator_namespace, *(each["metadata"].get("namespace") for each in kept)} - {None}
    made = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        for name in sorted(namespaces)
        if live.find(Ref("Namespace", name)) is None
    ]
    return made + sorted(kept, key=lambda each: _KINDS.index(each["kind"]))


def _capabilities(live: Live) -> Iterator[str]:
    """What the server can do, for a template that asks: `helm template` by itself asks no server."""
    yield from ("--kube-version", live.call("GET", "/version")["gitVersion"])
    for resource in live.call("GET", f"/apis/{_ADMISSION}")["resources"]:
        yield from ("--api-versions", f"{_ADMISSION}/{resource['kind']}")


def _wait_for_rights(live: Live, operator_namespace: str) -> None:
    """The API server reads roles from a cache: a right that was granted may still be refused for a moment."""
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {
            "user": operator_user(operator_namespace),
            "resourceAttributes": {
                "group": "bulkhead.dev",
                "resource": "tenantworkspaces",
                "subresource": "status",
                "verb": "patch",
            },
        },
    }

    def allowed() -> bool:
        answer = live.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
        return bool(answer["status"]["allowed"])

    wait_until("the operator's rights in force", allowed, timeout_seconds=20, interval_seconds=0.05)


def _wait_for_policies(live: Live) -> None:
    """Every admission policy that exists now bites when this returns.

    The API server reads policies and bindings from caches, each in the order of writing, and compiles all
    that it has about once a second. So a probe that was written last is the last to bite.
    """
    for prefix, bites in (("Mutating", _is_marked), ("Validating", _is_refused)):
        name = f"fences-probe-{uuid.uuid4().hex[:8]}"
        manifests = _probe_policy(prefix, name)
        try:
            for each in manifests:
                live.create(each)
            wait_until(
                f"{prefix}AdmissionPolicies in force",
                functools.partial(bites, live, name),
                timeout_seconds=30,
                interval_seconds=0.05,
            )
        finally:
            for each in manifests:
                live.delete(Ref(each["kind"], name))


def _probe(name: str) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": _PROBE_NAMESPACE},
    }


def _is_marked(live: Live, name: str) -> bool:
    return name in live.create(_probe(name), dry_run=True)["metadata"].get("labels", {})


def _is_refused(live: Live, name: str) -> bool:
    try:
        live.create(_probe(name), dry_run=True)
    except ApiRefusal as refusal:
        if f"ValidatingAdmissionPolicy '{name}'" in refusal.message:
            return True
        raise
    return False


def _probe_policy(prefix: str, name: str) -> tuple[Manifest, Manifest]:
    """A policy and its binding that refuse, or mark, one ConfigMap that nobody makes."""
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["configmaps"],
        "resourceNames": [name],
    }
    mark = f'Object{{metadata: Object.metadata{{labels: {{"{name}": "seen"}}}}}}'
    body: Manifest = (
        {"validations": [{"expression": "false", "message": "the probe is refused"}]}
        if prefix == "Validating"
        else {
            "reinvocationPolicy": "Never",
            "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": mark}}],
        }
    )
    binding: Manifest = {"policyName": name} | (
        {"validationActions": ["Deny"]} if prefix == "Validating" else {}
    )
    return (
        {
            "apiVersion": _ADMISSION,
            "kind": f"{prefix}AdmissionPolicy",
            "metadata": {"name": name},
            "spec": {"failurePolicy": "Fail", "matchConstraints": {"resourceRules": [rule]}, **body},
        },
        {
            "apiVersion": _ADMISSION,
            "kind": f"{prefix}AdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": binding,
        },
    )
