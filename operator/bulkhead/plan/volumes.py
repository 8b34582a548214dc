"""Why a volume that a pod waits for is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkhead.api.conditions import Reason
from bulkhead.plan.findings import Problem

if TYPE_CHECKING:
    from bulkhead.plan.facts import ClusterFacts
    from bulkhead.plan.observed import Manifest

__all__ = ["unprovided"]


def unprovided(claim: Manifest, facts: ClusterFacts | None, field: str) -> Problem | None:
    """No StorageClass makes the volume of this live claim; None: one does, it is there, or nobody knows.

    `field`: where its StorageClass is set, if it can be.
    """
    if facts is None or (claim.get("status") or {}).get("phase") == "Bound":
        return None
    name, wanted = claim["metadata"]["name"], claim["spec"].get("storageClassName")
    if wanted is None and facts.has_default_storage_class:
        return None
    if wanted is None:
        return Problem(
            Reason.STORAGE_CLASS_MISSING,
            f"PersistentVolumeClaim {name}: no StorageClass is the cluster's default, so nothing makes its "
            f"volume; mark one as the default{f', or name one in {field}' if field else ''}",
        )
    if wanted in facts.storage_classes:
        return None
    return Problem(
        Reason.STORAGE_CLASS_MISSING,
        f"PersistentVolumeClaim {name}: StorageClass {wanted} does not exist, so nothing makes its volume; "
        "create it",
    )
