"""The namespace: the tenant's boundary, owned by its TenantWorkspace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.render.guard import guard_config
from bulkhead.render.meta import labels, namespace_of

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.api.workspace_class import Toleration
    from bulkhead.render.context import RenderContext
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


def namespace(effective: Effective, context: RenderContext) -> Manifest:
    """Only restricted pods may run in it; garbage collection ends it should the finalizer be torn off.

    It carries what the admission policies must know of the workspace: they see a namespace and no more.
    """
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": namespace_of(effective),
            "labels": {
                **labels(effective),
                **POD_SECURITY_LABELS,
                **names.belt_labels(namespace_of(effective)),
                names.ISOLATION_LABEL: str(effective.isolation.level),
            },
            "annotations": _for_admission(effective, context),
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


def _for_admission(effective: Effective, context: RenderContext) -> dict[str, str]:
    """What pods that tenants make must be like; without the guard's config none of them may be made yet."""
    images = sorted({*effective.allowed_images, context.sandbox_image})
    told = {
        names.ALLOWED_IMAGES_ANNOTATION: " ".join(images),
        names.GUARD_IMAGE_ANNOTATION: context.sandbox_image,
        names.GUARD_CONFIG_ANNOTATION: guard_config(context)
        if context.service_ips.get(names.GATEWAY)
        else None,
        names.RUNTIME_CLASS_ANNOTATION: effective.isolation.runtime_class,
        names.NODE_SELECTOR_ANNOTATION: " ".join(
            f"{key}={value}" for key, value in sorted(effective.isolation.node_selector.items())
        ),
        names.TOLERATIONS_ANNOTATION: " ".join(map(_toleration, effective.isolation.tolerations)),
    }
    return {name: value for name, value in sorted(told.items()) if value}


def _toleration(each: Toleration) -> str:
    """Neither a bar nor a space can stand in any part: they are label keys and label values."""
    seconds = "" if each.toleration_seconds is None else str(each.toleration_seconds)
    return "|".join((each.key, each.operator, each.value, each.effect or "", seconds))
