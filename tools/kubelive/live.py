"""Objects of a live cluster by REST: get, list, create, apply, patch, delete, watch."""

from __future__ import annotations

import hashlib
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import urllib3
from kubernetes import client, config

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["BREAK_GLASS", "ApiRefusal", "Live", "Ref", "Resource"]

BREAK_GLASS: Final = "bulkhead:break-glass"  # the group that the chart's fences let through by default
_MASTERS: Final = "system:masters"

Manifest = dict[str, Any]


class ApiRefusal(Exception):
    """The API server answered with an error; `status`, `reason` and `message` are its own."""

    def __init__(self, method: str, path: str, status: int, body: bytes) -> None:
        self.reason = ""
        try:
            said = json.loads(body)
            self.reason, self.message = str(said.get("reason", "")), str(said.get("message", ""))
        except ValueError:
            self.message = body.decode(errors="replace")[:500]
        super().__init__(f"{method} {path}: {status} {self.message}")
        self.status = status


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind's place in the API."""

    group_version: str
    plural: str
    namespaced: bool

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """The URL path of the collection, the object, or its subresource."""
        root = (
            f"/api/{self.group_version}" if "/" not in self.group_version else f"/apis/{self.group_version}"
        )
        parts = [root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [part for part in (name, subresource) if part]
        return "/".join(parts)


_BULKHEAD = "bulkhead.dev/v1alpha1"
_KINDS = {
    "TenantWorkspace": Resource(_BULKHEAD, "tenantworkspaces", namespaced=False),
    "WorkspaceClass": Resource(_BULKHEAD, "workspaceclasses", namespaced=False),
    "CustomResourceDefinition": Resource(
        "apiextensions.k8s.io/v1", "customresourcedefinitions", namespaced=False
    ),
    "Namespace": Resource("v1", "namespaces", namespaced=False),
    "Node": Resource("v1", "nodes", namespaced=False),
    "Pod": Resource("v1", "pods", namespaced=True),
    "Secret": Resource("v1", "secrets", namespaced=True),
    "Service": Resource("v1", "services", namespaced=True),
    "ServiceAccount": Resource("v1", "serviceaccounts", namespaced=True),
    "ResourceQuota": Resource("v1", "resourcequotas", namespaced=True),
    "LimitRange": Resource("v1", "limitranges", namespaced=True),
    "ConfigMap": Resource("v1", "configmaps", namespaced=True),
    "PodTemplate": Resource("v1", "podtemplates", namespaced=True),
    "ReplicationController": Resource("v1", "replicationcontrollers", namespaced=True),
    "PersistentVolumeClaim": Resource("v1", "persistentvolumeclaims", namespaced=True),
    "Deployment": Resource("apps/v1", "deployments", namespaced=True),
    "ReplicaSet": Resource("apps/v1", "replicasets", namespaced=True),
    "StatefulSet": Resource("apps/v1", "statefulsets", namespaced=True),
    "DaemonSet": Resource("apps/v1", "daemonsets", namespaced=True),
    "Job": Resource("batch/v1", "jobs", namespaced=True),
    "CronJob": Resource("batch/v1", "cronjobs", namespaced=True),
    "NetworkPolicy": Resource("networking.k8s.io/v1", "networkpolicies", namespaced=True),
    "Role": Resource("rbac.authorization.k8s.io/v1", "roles", namespaced=True),
    "RoleBinding": Resource("rbac.authorization.k8s.io/v1", "rolebindings", namespaced=True),
    "ClusterRole": Resource("rbac.authorization.k8s.io/v1", "clusterroles", namespaced=False),
    "ClusterRoleBinding": Resource("rbac.authorization.k8s.io/v1", "clusterrolebindings", namespaced=False),
    "RuntimeClass": Resource("node.k8s.io/v1", "runtimeclasses", namespaced=False),
    **{
        kind: Resource("admissionregistration.k8s.io/v1", plural, namespaced=False)
        for kind, plural in {
            "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
            "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
            "MutatingAdmissionPolicy": "mutatingadmissionpolicies",
            "MutatingAdmissionPolicyBinding": "mutatingadmissionpolicybindings",
        }.items()
    },
    "Lease": Resource("coordination.k8s.io/v1", "leases", namespaced=True),
    "Event": Resource("events.k8s.io/v1", "events", namespaced=True),
}


@dataclass(frozen=True, slots=True)
class Ref:
    """One object: kind, name, and namespace where it has one."""

    kind: str
    name: str
    namespace: str | None = None

    @property
    def path(self) -> str:
        """The object's URL path."""
        return _KINDS[self.kind].path(self.namespace, self.name)


def _fingerprint(url: str) -> str:
    """SHA-256 of the certificate that the server shows now; where nobody vouches for it, it must stay."""
    where = urllib3.util.parse_url(url)
    pem = ssl.get_server_certificate((str(where.host), where.port or 443))
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest()


class Live:
    """A connection to the cluster of the current kubeconfig, in the name of somebody else if one is given."""

    def __init__(
        self, kubeconfig: str | None = None, *, as_user: str | None = None, as_groups: Sequence[str] = ()
    ) -> None:
        if as_groups and as_user is None:
            raise ValueError("as_groups without as_user: Kubernetes impersonates groups only with a user")
        self.kubeconfig = kubeconfig
        settings = client.Configuration()
        config.load_kube_config(config_file=kubeconfig, client_configuration=settings)
        self.host = str(settings.host)
        headers = urllib3.HTTPHeaderDict({"Accept": "application/json"})
        if token := (settings.api_key or {}).get("BearerToken"):  # "authorization" before kubernetes 37
            headers["Authorization"] = token
        if as_user is not None:
            headers["Impersonate-User"] = as_user
        for group in as_groups:
            headers.add("Impersonate-Group", group)
        self._pool = urllib3.PoolManager(
            cert_reqs="CERT_REQUIRED" if settings.verify_ssl else "CERT_NONE",
            assert_fingerprint=None if settings.verify_ssl else _fingerprint(self.host),
            ca_certs=settings.ssl_ca_cert,
            cert_file=settings.cert_file,
            key_file=settings.key_file,
            headers=headers,
            maxsize=16,
            retries=urllib3.Retry(connect=3, read=0, redirect=0, backoff_factor=0.2),
        )

    @classmethod
    def break_glass(cls, kubeconfig: str | None = None) -> Self:
        """An administrator whom the fences let through; the audit log names the group."""
        return cls(kubeconfig, as_user="break-glass", as_groups=(_MASTERS, BREAK_GLASS))

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content_type: str = "application/json",
        timeout_seconds: float = 30,
    ) -> Manifest:
        """One request; ApiRefusal on any status from 400."""
        headers = urllib3.HTTPHeaderDict(self._pool.headers)
        if body is not None:
            headers["Content-Type"] = content_type
        answer = self._pool.request(
            method,
            self.host + path,
            body=None if body is None else json.dumps(body).encode(),
            headers=headers,
            timeout=urllib3.Timeout(timeout_seconds),
        )
        if answer.status >= 400:
            raise ApiRefusal(method, path, answer.status, answer.data)
        parsed: Manifest = json.loads(answer.data)
        return parsed

    def get(self, ref: Ref) -> Manifest:
        """The object, or ApiRefusal 404."""
        return self.call("GET", ref.path)

    def find(self, ref: Ref) -> Manifest | None:
        """The object, or None where there is none."""
        try:
            return self.get(ref)
        except ApiRefusal as refusal:
            if refusal.status == 404:
                return None
            raise

    def items(self, kind: str, namespace: str | None = None, *, selector: str = "") -> list[Manifest]:
        """Every object of a kind, in one namespace or in all."""
        query = f"?labelSelector={selector}" if selector else ""
        found: list[Manifest] = self.call("GET", _KINDS[kind].path(namespace) + query)["items"]
        return found

    def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        """POST; refuses what exists. A dry run passes admission and writes nothing."""
        kind, namespace = manifest["kind"], manifest["metadata"].get("namespace")
        query = "?dryRun=All" if dry_run else ""
        return self.call("POST", _KINDS[kind].path(namespace) + query, manifest)

    def apply(self, manifest: Manifest, *, manager: str = "bulkhead-test") -> Manifest:
        """Server-side apply with force."""
        meta = manifest["metadata"]
        path = _KINDS[manifest["kind"]].path(meta.get("namespace"), meta["name"])
        return self.call(
            "PATCH",
            f"{path}?fieldManager={manager}&force=true",
            manifest,
            content_type="application/apply-patch+yaml",
        )

    def merge(self, ref: Ref, patch: Manifest) -> Manifest:
        """JSON merge patch: what `kubectl edit` and most attackers send."""
        return self.call("PATCH", ref.path, patch, content_type="application/merge-patch+json")

    def patch(self, ref: Ref, operations: list[Manifest]) -> Manifest:
        """JSON patch (RFC 6902)."""
        return self.call("PATCH", ref.path, operations, content_type="application/json-patch+json")

    def delete(self, ref: Ref, *, missing_ok: bool = True) -> None:
        """Background deletion; does not wait."""
        try:
            self.call("DELETE", ref.path)
        except ApiRefusal as refusal:
            if not (missing_ok and refusal.status == 404):
                raise

    def watch(
        self, kind: str, namespace: str | None, *, since: str, timeout_seconds: int
    ) -> Iterator[Manifest]:
        """Watch events from a resourceVersion on; ends by itself after the timeout."""
        path = (
            f"{_KINDS[kind].path(namespace)}?watch=1&resourceVersion={since}&timeoutSeconds={timeout_seconds}"
        )
        answer = self._pool.request(
            "GET", self.host + path, preload_content=False, timeout=urllib3.Timeout(timeout_seconds + 5)
        )
        buffer = b""
        try:
            for chunk in answer.stream(65536):
                buffer += chunk
                while (end := buffer.find(b"\n")) >= 0:
                    line, buffer = buffer[:end], buffer[end + 1 :]
                    if line.strip():
                        yield json.loads(line)
        finally:
            answer.release_conn()
            answer.close()
