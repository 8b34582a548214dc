"""What the gatherer saw: one record, no judgement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

__all__ = ["Manifest", "ObjectKey", "Observed"]

Manifest = dict[str, Any]


class ObjectKey(NamedTuple):
    """Identity of a child inside its workspace: kind and name."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """The live state of one workspace, read in one go."""

    namespace: Manifest | None = None  # whoever's it is: ours only if its UID label says so
    objects: Mapping[ObjectKey, Manifest] = field(default_factory=dict)  # managed kinds in the namespace, ours or not
    pods: tuple[Manifest, ...] = ()
    signing_key_uid: str | None = None  # the Secret in the operator's namespace, if there
    missing_secret_sources: tuple[str, ...] = ()  # "namespace/name:key" that could not be read
    last_activity: datetime | None = None  # what the gateway said, or the status remembers
