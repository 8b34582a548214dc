"""Who may do what inside the namespace.

Tenant roles stay on the safe side of what admission can fence: none of them can make or change a pod, a role,
a service account or a network policy, read a Secret, or open a shell. A pod's author can mount every Secret
and take every service account of its namespace, so `create pods` waits for the policies that forbid it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.api.workspace import AccessRole
from bulkhead.render.meta import metadata

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.api.workspace import AccessRule
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Manifest

__all__ = ["TENANT_RULES", "operator_binding", "tenant_roles"]

_RBAC: Final = "rbac.authorization.k8s.io"
_READ: Final = ["get", "list", "watch"]

_VIEW: Final = (
    {
        "apiGroups": [""],
        "resources": [
            "events",
            "limitranges",
            "persistentvolumeclaims",
            "pods",
            "resourcequotas",
            "services",
        ],
        "verbs": _READ,
    },
    {"apiGroups": ["apps"], "resources": ["deployments", "replicasets"], "verbs": _READ},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": _READ},
    {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": _READ},
)
_OPERATE: Final = (
    *_VIEW,
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["delete"]},  # a restart: the Deployment replaces it
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
)
_ADMIN: Final = (
    *_OPERATE,
    # No pod of ours reads a ConfigMap, so these are the tenant's own notes and nothing more.
    {
        "apiGroups": [""],
        "resources": ["configmaps"],
        "verbs": [*_READ, "create", "delete", "patch", "update"],
    },
)
# The operator may only grant what it holds: the ClusterRole `bulkhead-workspace` must contain all of these.
TENANT_RULES: Final = {
    AccessRole.VIEW: _VIEW,
    AccessRole.OPERATE: _OPERATE,
    AccessRole.ADMIN: _ADMIN,
}


def operator_binding(effective: Effective, context: RenderContext) -> Manifest:
    """The operator's rights in this namespace: they come with it and end with it."""
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": metadata(effective, names.OPERATOR_BINDING),
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": names.WORKSPACE_CLUSTER_ROLE},
        "subjects": [
            {
                "kind": "ServiceAccount",
                "name": context.operator_service_account,
                "namespace": context.operator_namespace,
            }
        ],
    }


def tenant_roles(effective: Effective) -> tuple[Manifest, ...]:
    """A Role and its RoleBinding for each role that `spec.access` uses; nobody by default."""
    manifests: list[Manifest] = []
    for role in AccessRole:
        rules = [rule for rule in effective.access if rule.role is role]
        if rules:
            manifests += [_role(effective, role), _binding(effective, role, rules)]
    return tuple(manifests)


def _role(effective: Effective, role: AccessRole) -> Manifest:
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "Role",
        "metadata": metadata(effective, names.tenant_role(role)),
        "rules": [{key: list(values) for key, values in rule.items()} for rule in TENANT_RULES[role]],
    }


def _binding(effective: Effective, role: AccessRole, rules: list[AccessRule]) -> Manifest:
    subjects = sorted({(str(rule.kind), rule.name) for rule in rules})
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": metadata(effective, names.tenant_role(role)),
        "roleRef": {"apiGroup": _RBAC, "kind": "Role", "name": names.tenant_role(role)},
        "subjects": [{"apiGroup": _RBAC, "kind": kind, "name": name} for kind, name in subjects],
    }
