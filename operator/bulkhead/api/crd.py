"""The two CustomResourceDefinitions, as manifests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkhead import names
from bulkhead.api import cel
from bulkhead.api.schema import Schema, structural_schema
from bulkhead.api.status import ClassStatus, WorkspaceStatus
from bulkhead.api.workspace import WorkspaceSpec
from bulkhead.api.workspace_class import WorkspaceClassSpec

if TYPE_CHECKING:
    from pydantic.config import JsonDict

__all__ = ["CRD_NAMES", "MAX_CRD_BYTES", "custom_resource_definitions"]

# Plain `kubectl apply` stores the manifest again in an annotation, and annotations end at 256 KiB.
MAX_CRD_BYTES: Final = 64 * 1024
CRD_NAMES: Final = (f"{names.WORKSPACE_PLURAL}.{names.GROUP}", f"{names.CLASS_PLURAL}.{names.GROUP}")

_WORKSPACE_COLUMNS: Final = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0, "Whether everything serves."),
    ("Agents", "string", ".status.agents", 0, "Ready and wanted pods of runtime and tools."),
    ("Expires", "string", ".status.expiresAt", 0, "The earliest deadline."),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 0, "Why Ready is what it is."),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Time since creation."),
    ("Class", "string", ".spec.className", 1, "The class named in the spec."),
    ("Namespace", "string", ".status.namespace.name", 1, "The workspace's namespace."),
    ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', 1, "What to know or do."),
)
_CLASS_COLUMNS: Final = (
    ("Level", "string", ".spec.isolation.level", 0, "What stands between tenant code and the node's kernel."),
    ("Workspaces", "integer", ".status.workspaces", 0, "Number of workspaces that go by it."),
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0, "Whether it can be run here."),
    (
        "Default",
        "string",
        r".metadata.annotations.bulkhead\.dev/is-default-class",
        0,
        "true for the class of workspaces that name none.",
    ),
    ("Age", "date", ".metadata.creationTimestamp", 0, "Time since creation."),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 1, "Why Ready is what it is."),
    ("Max-TTL", "string", ".spec.ceilings.ttl", 1, "Longest life of a workspace."),
    ("Images", "string", ".spec.allowed.images", 1, "Images that workspaces may name."),
    ("Hosts", "string", ".spec.allowed.egressHosts", 1, "Hosts that workspaces may reach."),
)


def custom_resource_definitions() -> tuple[dict[str, Any], ...]:
    """TenantWorkspace, then WorkspaceClass."""
    workspace = _definition(
        kind=names.WORKSPACE_KIND,
        plural=names.WORKSPACE_PLURAL,
        short="tws",
        columns=_WORKSPACE_COLUMNS,
        schema=_root(
            "One isolated tenant: a namespace with a gateway, tools, a runtime and policies around them.",
            cel.WORKSPACE_ROOT,
            spec=structural_schema(WorkspaceSpec),
            status=structural_schema(WorkspaceStatus, defaults=False),
        ),
    )
    cls = _definition(
        kind=names.CLASS_KIND,
        plural=names.CLASS_PLURAL,
        short="wsc",
        columns=_CLASS_COLUMNS,
        schema=_root(
            "What the administrator gives and allows to the workspaces that name this class.",
            cel.CLASS_ROOT,
            spec=structural_schema(WorkspaceClassSpec),
            status=structural_schema(ClassStatus, defaults=False),
        ),
    )
    return workspace, cls


def _root(description: str, rules: JsonDict, **properties: Schema) -> Schema:
    meta = {
        "apiVersion": {"description": f"{names.API_VERSION}.", "type": "string"},
        "kind": {"description": "Kind of the object.", "type": "string"},
        "metadata": {"type": "object"},  # the API server describes it, and refuses any word of ours
    }
    return {
        "description": description,
        "type": "object",
        "required": ["spec"],
        "properties": {**meta, **properties},
        **rules,
    }


def _definition(
    *,
    kind: str,
    plural: str,
    short: str,
    columns: tuple[tuple[str, str, str, int, str], ...],
    schema: Schema,
) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{names.GROUP}"},
        "spec": {
            "group": names.GROUP,
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["bulkhead"],
            },
            "scope": "Cluster",
            "versions": [
                {
                    "name": names.VERSION,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [
                        {
                            "name": name,
                            "type": type_,
                            "jsonPath": path,
                            "description": text,
                            # The server drops a zero, and Helm would then see a difference for ever.
                            **({"priority": priority} if priority else {}),
                        }
                        for name, type_, path, priority, text in columns
                    ],
                }
            ],
        },
    }
