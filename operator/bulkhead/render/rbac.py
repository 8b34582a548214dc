"""Who may do what inside the namespace: bindings to roles that the chart defines, nothing of its own.

What view, operate and admin may do stands in the chart's ClusterRoles, so the operator needs no right that
only tenants need: it may `bind` these three and cannot widen them. Admission holds an admin to its bounds.
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

__all__ = ["operator_binding", "tenant_bindings"]

_RBAC: Final = "rbac.authorization.k8s.io"


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


def tenant_bindings(effective: Effective) -> tuple[Manifest, ...]:
    """One for each role that `spec.access` uses; nobody by default."""
    by_role = {role: [rule for rule in effective.access if rule.role is role] for role in AccessRole}
    return tuple(_binding(effective, role, rules) for role, rules in by_role.items() if rules)


def _binding(effective: Effective, role: AccessRole, rules: list[AccessRule]) -> Manifest:
    subjects = sorted({(str(rule.kind), rule.name) for rule in rules})
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": metadata(effective, names.tenant_role(role)),
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": names.tenant_cluster_role(role)},
        "subjects": [{"apiGroup": _RBAC, "kind": kind, "name": name} for kind, name in subjects],
    }
