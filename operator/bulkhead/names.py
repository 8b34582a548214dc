"""Every name, label, annotation and port that Bulkhead writes or looks for, in one place.

Kubernetes object names are RFC 1123 labels (63 characters). A workspace name is at most 40 and a tool name at
most 30 characters (the CRD says so), so no derived name here is ever cut.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

GROUP: Final = "bulkhead.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
WORKSPACE_KIND: Final = "TenantWorkspace"
WORKSPACE_PLURAL: Final = "tenantworkspaces"
CLASS_KIND: Final = "WorkspaceClass"
CLASS_PLURAL: Final = "workspaceclasses"

FIELD_MANAGER: Final = "bulkhead"
FINALIZER: Final = f"{GROUP}/teardown"
CLASS_FINALIZER: Final = f"{GROUP}/class-in-use"  # a class stays while a workspace uses it

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "bulkhead"
MANAGED_SELECTOR: Final = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
WORKSPACE_LABEL: Final = f"{GROUP}/workspace"  # the workspace's name: for people and selectors
WORKSPACE_UID_LABEL: Final = f"{GROUP}/workspace-uid"  # the identity: adoption goes by this one only
COMPONENT_LABEL: Final = f"{GROUP}/component"  # gateway | egress | runtime | tool
TOOL_LABEL: Final = f"{GROUP}/tool"
PURPOSE_LABEL: Final = f"{GROUP}/purpose"  # on Secrets in the operator's namespace: signing-key

SPEC_HASH_ANNOTATION: Final = f"{GROUP}/spec-hash"
CONFIG_HASH_ANNOTATION: Final = f"{GROUP}/config-hash"  # on pod templates: a change rolls the pods
DEFAULT_CLASS_ANNOTATION: Final = f"{GROUP}/is-default-class"
# On a TenantWorkspace, for people: another value asks for another signing key. On the Secret: the value that
# was acted on.
ROTATE_KEY_ANNOTATION: Final = f"{GROUP}/rotate-signing-key"
# On a TenantWorkspace, for people: the hash of the record from which on a broken audit log is watched again.
ACCEPT_AUDIT_ANNOTATION: Final = f"{GROUP}/accept-audit"
KEY_SINCE_ANNOTATION: Final = f"{GROUP}/signs-since"  # on the Secret of a signing key
KEY_PUBLISHED_ANNOTATION: Final = f"{GROUP}/next-key-published-at"  # there too, while keys rotate

# On a workspace's namespace, for the admission policies: CEL sees it, but neither workspace nor class.
ISOLATION_LABEL: Final = f"{GROUP}/isolation-level"  # Baseline | UserNamespace | Sandboxed
RUNTIME_CLASS_ANNOTATION: Final = (
    f"{GROUP}/runtime-class"  # RuntimeClass of untrusted pods, only when Sandboxed
)
ALLOWED_IMAGES_ANNOTATION: Final = (
    f"{GROUP}/allowed-images"  # separated by one space, the sandbox image included
)
NODE_SELECTOR_ANNOTATION: Final = f"{GROUP}/node-selector"  # key=value, separated by one space
# key|operator|value|effect|seconds, empty where not said, separated by one space
TOLERATIONS_ANNOTATION: Final = f"{GROUP}/tolerations"
GUARD_IMAGE_ANNOTATION: Final = f"{GROUP}/guard-image"
GUARD_CONFIG_ANNOTATION: Final = f"{GROUP}/guard-config"  # BULKHEAD_CONFIG of the guard in tenant-made pods
# On a workspace's namespace, for the chart's admin-tier policies: see belt_labels.
BELT_LABELS: Final = tuple(f"{GROUP}/belt-{position}" for position in range(10))

GATEWAY: Final = "gateway"
EGRESS: Final = "egress"
RUNTIME: Final = "runtime"
TOOL: Final = "tool"  # component of every tool; TOOL_LABEL tells which
GUARD: Final = "guard"  # init container of every untrusted pod, and the NetworkPolicy with its one arrow
CANARY: Final = "canary"  # component in the operator's namespace

QUOTA: Final = "workspace"
LIMITS: Final = "workspace"
DEFAULT_DENY: Final = "default-deny"
OPERATOR_BINDING: Final = "bulkhead-operator"  # RoleBinding in each workspace namespace
WORKSPACE_CLUSTER_ROLE: Final = "bulkhead-workspace"  # the operator's own rights in a workspace
ISSUER: Final = "issuer"  # component in the operator's namespace
ISSUER_SERVICE: Final = "bulkhead-issuer"
# Names, no secrets: the CA with its key, for the operator alone; the issuer's certificate and key.
ISSUER_CA_SECRET: Final = "bulkhead-issuer-ca"  # noqa: S105
ISSUER_TLS_SECRET: Final = "bulkhead-issuer-tls"  # noqa: S105
ISSUER_CA_CONFIG_MAP: Final = "bulkhead-issuer-ca"  # what callers need: ca.crt
CANARY_SERVICE: Final = "bulkhead-canary"  # headless, in the operator's namespace
SESSION_KEYS_SECRET: Final = "session-keys"  # public keys and epoch for the gateway  # noqa: S105 - a name, no secret
GATEWAY_KEYS_SECRET: Final = "gateway-keys"  # cache salt, tag key, checkpoint key: the gateway's alone  # noqa: S105
MODEL_KEY_SECRET: Final = "model-key"  # the upstream API key of the chosen model  # noqa: S105
GATEWAY_DATA: Final = "gateway-data"  # PersistentVolumeClaim of the gateway
RUNTIME_DATA: Final = "runtime-data"  # PersistentVolumeClaim of the runtime

GATEWAY_PORT: Final = 8080  # sessions and tools
GATEWAY_OPERATOR_PORT: Final = 9443  # activity, for the operator only
HEALTH_PORT: Final = 8081  # livez, readyz of every role of the sandbox image
GATEWAY_GUARD_PORT: Final = 8082  # tells guards which canaries are alive
CANARY_PORT: Final = 8090
ISSUER_PORT: Final = 8443
EGRESS_FIRST_PORT: Final = 3128  # the runtime's; tool i (in spec order) has EGRESS_FIRST_PORT + 1 + i
RUNTIME_PORT: Final = 8000
TOOL_PORT: Final = 8000  # default of spec.tools[].port

OPERATOR_POD_LABELS: Final = {"app.kubernetes.io/name": "bulkhead", "app.kubernetes.io/component": "operator"}
CANARY_POD_LABELS: Final = {"app.kubernetes.io/name": "bulkhead", "app.kubernetes.io/component": CANARY}
GATEWAY_CLIENT_LABEL: Final = f"{GROUP}/gateway-client"  # namespaces whose pods may call gateways: "true"

POD_UID: Final = 65532  # uid and gid of every container of the sandbox image


def is_workspace_name(name: str) -> bool:
    """Whether a workspace may have this name: an RFC 1123 label of at most 40 characters."""
    return len(name) <= 40 and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name) is not None


def namespace(workspace: str, workspace_uid: str) -> str:
    """The workspace's namespace: never chosen by a user, different for each incarnation of a name."""
    return f"bh-{workspace}-{hashlib.sha256(workspace_uid.encode()).hexdigest()[:5]}"


def belt_labels(namespace_name: str) -> dict[str, str]:
    """The five hexadecimal digits that end a namespace's name, as ten digits of base 4, a label each.

    No policy can say "another namespace". One that keeps apart the namespaces that differ in a given digit
    can be written, once for all; two workspaces differ in one of ten.
    """
    end = int(namespace_name[-5:], 16)
    return {label: str(end >> 2 * place & 3) for place, label in enumerate(reversed(BELT_LABELS))}


def tool(name: str) -> str:
    """The name of a tool's Deployment, Service, ServiceAccount and NetworkPolicy."""
    return f"tool-{name}"


def tenant_role(role: str) -> str:
    """The RoleBinding behind `spec.access[].role`."""
    return f"tenant-{role}"


def tenant_cluster_role(role: str) -> str:
    """The chart's ClusterRole that it refers to: view, operate or admin."""
    return f"bulkhead-tenant-{role}"


def signing_key(workspace_uid: str) -> str:
    """The Secret in the operator's namespace with the private key that signs a workspace's tokens."""
    return f"signing-key-{workspace_uid}"


def audience(workspace_uid: str) -> str:
    """The `aud` claim of a session token: one incarnation of one workspace."""
    return f"bulkhead:{workspace_uid}:gateway"


def workspace_labels(workspace: str, workspace_uid: str) -> dict[str, str]:
    """The labels on every object of a workspace."""
    return {
        MANAGED_BY_LABEL: MANAGED_BY,
        WORKSPACE_LABEL: workspace,
        WORKSPACE_UID_LABEL: workspace_uid,
    }
