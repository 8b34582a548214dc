"""What the gatherer saw: one record, no judgement."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bulkhead.render.rendered import Manifest, ObjectKey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bulkhead.plan.facts import ClusterFacts

__all__ = ["Manifest", "ObjectKey", "Observed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The live state of one workspace, read in one go."""

    namespace: Manifest | None = None  # whoever's it is: see plan.ownership
    namespace_uid: str | None = None  # what status recorded: survives a stripped label
    objects: Mapping[ObjectKey, Manifest] = field(
        default_factory=dict
    )  # managed kinds in the namespace, ours or not
    pods: tuple[Manifest, ...] = ()  # every pod of the namespace, ours or not
    signing_key_uid: str | None = None  # the Secret in the operator's namespace, if there
    was_ready: bool = False  # status said Ready of this generation: what is missing was deleted by somebody
    # "namespace/name:key" that could not be read; the value copied last may still be there
    missing_secret_sources: tuple[str, ...] = ()
    unrevoked: tuple[str, ...] = ()  # gateways that may still accept tokens of an earlier epoch
    cluster: ClusterFacts | None = None  # None: could not be read
    last_activity: datetime | None = None  # what the gateway said, or the status remembers
