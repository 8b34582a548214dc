"""The namespace: the tenant's boundary, owned by its TenantWorkspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.render.meta import labels, namespace_of

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.render.rendered import Manifest

__all__ = ["POD_SECURITY_LABELS", "namespace"]

# All six are ours, so that nobody can add the missing one: a label that apply never set survives apply.
# Versions are pinned to `latest` by name: no one can lower them to the rules of an old release, and an
# upgraded cluster brings its stricter rules by itself.
POD_SECURITY_LABELS: Final[dict[str, str]] = {
    "pod-security.kubernetes.io/audit": "restricted",
    "pod-security.kubernetes.io/audit-version": "latest",
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
    "pod-security.kubernetes.io/warn": "restricted",
    "pod-security.kubernetes.io/warn-version": "latest",
}


def namespace(effective: Effective) -> Manifest:
    """Only restricted pods may run in it; garbage collection ends it should the finalizer be torn off."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": namespace_of(effective),
            "labels": {**labels(effective), **POD_SECURITY_LABELS},
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.WORKSPACE_KIND,
                    "name": effective.name,
                    "uid": effective.uid,
                    "controller": True,
                    # The finalizer orders the teardown; blocking would need rights on finalizers.
                    "blockOwnerDeletion": False,
                }
            ],
        },
    }
