"""Objects of a live cluster by REST: get, list, create, apply, patch, delete, watch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import urllib3
from kubernetes import client, config

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ApiRefusal", "Live", "Ref", "Resource"]

Manifest = dict[str, Any]


class ApiRefusal(Exception):
    """The API server answered with an error; `status` and `message` are its own."""

    def __init__(self, method: str, path: str, status: int, body: bytes) -> None:
        try:
            self.message = str(json.loads(body).get("message", ""))
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
    "PersistentVolumeClaim": Resource("v1", "persistentvolumeclaims", namespaced=True),
    "Deployment": Resource("apps/v1", "deployments", namespaced=True),
    "NetworkPolicy": Resource("networking.k8s.io/v1", "networkpolicies", namespaced=True),
    "Role": Resource("rbac.authorization.k8s.io/v1", "roles", namespaced=True),
    "RoleBinding": Resource("rbac.authorization.k8s.io/v1", "rolebindings", namespaced=True),
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


class Live:
    """A connection to the cluster of the current kubeconfig."""

    def __init__(self, kubeconfig: str | None = None) -> None:
        settings = client.Configuration()
        config.load_kube_config(config_file=kubeconfig, client_configuration=settings)
        self.host = str(settings.host)
        headers = {"Accept": "application/json"}
        if token := (settings.api_key or {}).get("BearerToken"):  # "authorization" before kubernetes 37
            headers["Authorization"] = token
        self._pool = urllib3.PoolManager(
            ca_certs=settings.ssl_ca_cert,
            cert_file=settings.cert_file,
            key_file=settings.key_file,
            headers=headers,
            maxsize=16,
            retries=urllib3.Retry(connect=3, read=0, redirect=0, backoff_factor=0.2),
        )

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
        headers = dict(self._pool.headers) | ({"Content-Type": content_type} if body is not None else {})
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

    def create(self, manifest: Manifest) -> Manifest:
        """POST; refuses what exists."""
        kind, namespace = manifest["kind"], manifest["metadata"].get("namespace")
        return self.call("POST", _KINDS[kind].path(namespace), manifest)

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
