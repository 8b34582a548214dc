"""Parts that every manifest shares: metadata, selectors, hashes."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from bulkhead import names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkhead.api.effective import Effective
    from bulkhead.render.context import SecretValue
    from bulkhead.render.rendered import Manifest

__all__ = ["canonical_json", "config_hash", "labels", "metadata", "namespace_of", "selector", "stamped"]


def namespace_of(effective: Effective) -> str:
    """The workspace's namespace."""
    return names.namespace(effective.name, effective.uid)


def selector(component: str, tool: str | None = None) -> dict[str, str]:
    """Labels that pick the pods of one component inside the namespace; immutable in a Deployment."""
    chosen = {names.COMPONENT_LABEL: component}
    if tool is not None:
        chosen[names.TOOL_LABEL] = tool
    return chosen


def labels(effective: Effective, component: str | None = None, tool: str | None = None) -> dict[str, str]:
    """The workspace's labels, with the component's on workloads, pods and Services."""
    base = names.workspace_labels(effective.name, effective.uid)
    return base if component is None else {**base, **selector(component, tool)}


def metadata(
    effective: Effective, name: str, *, component: str | None = None, tool: str | None = None
) -> Manifest:
    """Metadata of an object inside the workspace's namespace."""
    return {
        "name": name,
        "namespace": namespace_of(effective),
        "labels": labels(effective, component, tool),
    }


def canonical_json(value: Any) -> str:
    """One text for equal values, so that an equal config never rolls a pod."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def config_hash(config: str, secrets: Iterable[tuple[str, SecretValue]]) -> str:
    """Changes with a role's config or any secret that it mounts, so that its pods roll.

    Cut to 48 bits: enough to notice a change, too few to confirm a guess at a secret with certainty.
    """
    digest = hashlib.sha256(config.encode())
    for name, value in sorted(secrets, key=lambda item: item[0]):
        digest.update(b"\0" + name.encode() + b"\0" + hashlib.sha256(value.reveal()).digest())
    return digest.hexdigest()[:12]


def stamped(manifest: Manifest) -> Manifest:
    """The manifest with a hash of itself: tells an edit of the spec from an edit of the live object."""
    digest = hashlib.sha256(canonical_json(manifest).encode()).hexdigest()[:16]
    meta = manifest["metadata"]
    annotations = {**meta.get("annotations", {}), names.SPEC_HASH_ANNOTATION: digest}
    return {**manifest, "metadata": {**meta, "annotations": annotations}}
