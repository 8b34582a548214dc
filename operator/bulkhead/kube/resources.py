"""Kind to API path, for every kind that Bulkhead reads or writes."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from bulkhead import names

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RESOURCES", "Resource", "resource"]


@dataclass(frozen=True, slots=True)
class Resource:
    """Where the objects of one kind live."""

    kind: str
    group: str  # empty: the core group
    version: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As it stands in a manifest."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """The URL path of one object, or of the collection; no namespace: of all namespaces."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        scope = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return (
            f"{root}{scope}/{self.plural}"
            + (f"/{name}" if name else "")
            + (f"/{subresource}" if subresource else "")
        )


_APPS: Final = "apps"
_RBAC: Final = "rbac.authorization.k8s.io"

RESOURCES: Final[Mapping[str, Resource]] = MappingProxyType(
    {
        entry.kind: entry
        for entry in (
            Resource(
                names.WORKSPACE_KIND, names.GROUP, names.VERSION, names.WORKSPACE_PLURAL, namespaced=False
            ),
            Resource(names.CLASS_KIND, names.GROUP, names.VERSION, names.CLASS_PLURAL, namespaced=False),
            Resource("Namespace", "", "v1", "namespaces", namespaced=False),
            Resource("ConfigMap", "", "v1", "configmaps"),
            Resource("LimitRange", "", "v1", "limitranges"),
            Resource("PersistentVolumeClaim", "", "v1", "persistentvolumeclaims"),
            Resource("Pod", "", "v1", "pods"),
            Resource("ResourceQuota", "", "v1", "resourcequotas"),
            Resource("Secret", "", "v1", "secrets"),
            Resource("Service", "", "v1", "services"),
            Resource("ServiceAccount", "", "v1", "serviceaccounts"),
            Resource("Deployment", _APPS, "v1", "deployments"),
            # Never made by us: teardown ends pods of tenants through their controllers.
            Resource("DaemonSet", _APPS, "v1", "daemonsets"),
            Resource("Job", "batch", "v1", "jobs"),
            Resource("ReplicaSet", _APPS, "v1", "replicasets"),
            Resource("ReplicationController", "", "v1", "replicationcontrollers"),
            Resource("StatefulSet", _APPS, "v1", "statefulsets"),
            Resource("NetworkPolicy", "networking.k8s.io", "v1", "networkpolicies"),
            Resource("RoleBinding", _RBAC, "v1", "rolebindings"),
            Resource("Lease", "coordination.k8s.io", "v1", "leases"),
            # Read only: what the cluster can run.
            Resource("Node", "", "v1", "nodes", namespaced=False),
            Resource("RuntimeClass", "node.k8s.io", "v1", "runtimeclasses", namespaced=False),
            Resource("StorageClass", "storage.k8s.io", "v1", "storageclasses", namespaced=False),
            Resource("Event", "events.k8s.io", "v1", "events"),
            # Questions, answered in the reply and kept nowhere.
            Resource("TokenReview", "authentication.k8s.io", "v1", "tokenreviews", namespaced=False),
            Resource(
                "SubjectAccessReview", "authorization.k8s.io", "v1", "subjectaccessreviews", namespaced=False
            ),
        )
    }
)


def resource(kind: str) -> Resource:
    """The entry of a kind; a kind that is not in the table is a programming error."""
    return RESOURCES[kind]
