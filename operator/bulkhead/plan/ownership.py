"""Whose is it: by UID, never by a name or label that somebody else can write alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkhead import names

if TYPE_CHECKING:
    from bulkhead.plan.observed import Manifest, Observed

__all__ = ["carries_our_label", "is_going", "namespace_is_ours"]


def namespace_is_ours(observed: Observed, workspace_uid: str) -> bool:
    """Whether the namespace exists and is this workspace's.

    Its label says so, or its own UID is the one that status recorded when it did: stripping a label neither
    orphans a namespace nor takes it out of our hands.
    """
    live = observed.namespace
    if live is None:
        return False
    return carries_our_label(live, workspace_uid) or (
        observed.namespace_uid is not None and live["metadata"].get("uid") == observed.namespace_uid
    )


def carries_our_label(live: Manifest, workspace_uid: str) -> bool:
    """Whether an object inside our own namespace was made for this workspace."""
    labels = live["metadata"].get("labels") or {}
    return bool(labels.get(names.WORKSPACE_UID_LABEL) == workspace_uid)


def is_going(live: Manifest) -> bool:
    """Whether it has been deleted and only finalizers keep it."""
    return "deletionTimestamp" in live["metadata"]
