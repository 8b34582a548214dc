"""Is the live object what we want: ours intact, and nothing foreign beside it?

Server-side apply alone cannot tell: a forced apply leaves every field that we never set, so an allow-all rule
on a default-deny policy, hostNetwork on a pod template or a second container survive it. Kinds that matter
for isolation are therefore compared whole.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from bulkhead import names, quantity
from bulkhead.errors import InvalidValue
from bulkhead.plan.defaults import ANY, NOTHING_ADDED, SECTIONS, SHAPES, SameAs, Shape

if TYPE_CHECKING:
    from bulkhead.plan.observed import Manifest

__all__ = ["Difference", "compare", "is_edited", "needs_recreation", "replacement", "settled"]

_QUANTITY_MAPS: Final = frozenset({"hard", "limits", "requests", "default", "defaultRequest"})
_QUANTITY_FIELDS: Final = frozenset({"sizeLimit"})
_SERVICE_KEEPS: Final = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")


class Difference(IntEnum):
    """How far the live object is from the desired one; the worst of its fields decides."""

    NONE = 0
    OURS = 1  # something of ours is missing or changed: apply mends it
    FOREIGN = 2  # something was added: only a replace removes it


def compare(desired: Manifest, live: Manifest) -> Difference:
    """The difference, blind to what the API server and controllers fill in by themselves."""
    kind = desired["kind"]
    sections = SECTIONS[kind]
    return max(
        _metadata(desired["metadata"], live["metadata"]),
        _fields(
            {name: desired[name] for name in sections if name in desired},
            {name: live[name] for name in sections if name in live},
            SHAPES.get(kind, NOTHING_ADDED),
            "",
        ),
    )


def is_edited(desired: Manifest, live: Manifest) -> bool:
    """Whether a difference comes from an edit of the live object, not from a new desired state."""
    wanted = desired["metadata"]["annotations"][names.SPEC_HASH_ANNOTATION]
    applied = (live["metadata"].get("annotations") or {}).get(names.SPEC_HASH_ANNOTATION)
    return applied is None or bool(applied == wanted)


def needs_recreation(desired: Manifest, live: Manifest) -> bool:
    """Whether a field stands in the way that no write can change."""
    match desired["kind"]:
        case "Deployment":
            return bool(live["spec"]["selector"] != desired["spec"]["selector"])
        case "RoleBinding":
            return bool(live["roleRef"] != desired["roleRef"])
        case "Secret":
            frozen = live.get("immutable") is True
            return frozen or bool(live.get("type", "Opaque") != desired["type"])
        case "Service":
            return bool(live["spec"].get("clusterIP") == "None")
    return False


def settled(desired: Manifest, live: Manifest) -> Manifest:
    """The desired manifest as far as the live object allows: a claim never shrinks, nor changes its class."""
    if desired["kind"] != "PersistentVolumeClaim":
        return desired
    spec = {**desired["spec"]}
    if "storageClassName" in spec and live["spec"].get("storageClassName") is not None:
        spec["storageClassName"] = live["spec"]["storageClassName"]
    there = live["spec"].get("resources", {}).get("requests", {}).get("storage", "0")
    if quantity.exact(spec["resources"]["requests"]["storage"]) < quantity.exact(there):
        spec["resources"] = {**spec["resources"], "requests": {"storage": there}}
    return {**desired, "spec": spec}


def replacement(desired: Manifest, live: Manifest) -> Manifest:
    """The manifest to PUT: bound to the live object's identity and version, keeping what cannot change."""
    there = live["metadata"]
    metadata = {
        **desired["metadata"],
        "uid": there["uid"],
        "resourceVersion": there["resourceVersion"],
        "labels": {**(there.get("labels") or {}), **desired["metadata"]["labels"]},
        "annotations": {**(there.get("annotations") or {}), **desired["metadata"]["annotations"]},
    }
    for name in ("finalizers", "ownerReferences"):
        if there.get(name):
            metadata[name] = there[name]
    replaced = {**desired, "metadata": metadata}
    if desired["kind"] == "Service":
        kept = {name: live["spec"][name] for name in _SERVICE_KEEPS if live["spec"].get(name)}
        replaced["spec"] = {**desired["spec"], **kept}
    return replaced


def _metadata(desired: Manifest, live: Manifest) -> Difference:
    """Labels, annotations and owners of ours must be there; those of others do no harm."""
    for name in ("labels", "annotations"):
        there = live.get(name) or {}
        if any(there.get(key) != value for key, value in desired.get(name, {}).items()):
            return Difference.OURS
    owners = live.get("ownerReferences") or []
    if any(owner not in owners for owner in desired.get("ownerReferences", [])):
        return Difference.OURS
    return Difference.NONE


def _fields(desired: Manifest, live: Manifest, shape: Shape, parent: str) -> Difference:
    worst = Difference.NONE
    for name, value in desired.items():
        if name not in live:
            worst = max(worst, Difference.OURS)
        else:
            worst = max(
                worst, _value(value, live[name], shape.inside.get(name, NOTHING_ADDED), (parent, name))
            )
    if not shape.cooperative and any(
        name not in desired and not _is_added(name, live, shape) for name in live
    ):
        return Difference.FOREIGN
    return worst


def _is_added(name: str, live: Manifest, shape: Shape) -> bool:
    """Whether the API server may have put the field there by itself."""
    if name not in shape.added:
        return False
    default = shape.added[name]
    if isinstance(default, SameAs):
        return bool(live[name] == live.get(default.field))
    return default is ANY or live[name] == default


def _value(desired: Any, live: Any, shape: Shape, path: tuple[str, str]) -> Difference:
    if isinstance(desired, dict) and isinstance(live, dict):
        return _fields(desired, live, shape, path[1])
    if isinstance(desired, list) and isinstance(live, list):
        return _items(desired, live, shape, path[1])
    if desired == live or _same_quantity(desired, live, path):
        return Difference.NONE
    return Difference.OURS


def _items(desired: list[Any], live: list[Any], shape: Shape, name: str) -> Difference:
    if shape.key is not None:
        wanted = {item[shape.key]: item for item in desired}
        there = {item.get(shape.key): item for item in live}
        if len(there) != len(live) or there.keys() - wanted.keys():
            return Difference.FOREIGN
        if wanted.keys() - there.keys():
            return Difference.OURS
        pairs = [(item, there[key]) for key, item in wanted.items()]
    elif len(desired) != len(live):
        return Difference.FOREIGN if len(live) > len(desired) else Difference.OURS
    else:
        pairs = list(zip(desired, live, strict=True))
    item_shape = Shape(added=shape.added, inside=shape.inside, cooperative=shape.cooperative)
    return max((_value(one, other, item_shape, ("", name)) for one, other in pairs), default=Difference.NONE)


def _same_quantity(desired: Any, live: Any, path: tuple[str, str]) -> bool:
    parent, name = path
    if parent not in _QUANTITY_MAPS and name not in _QUANTITY_FIELDS:
        return False
    try:
        return quantity.exact(desired) == quantity.exact(live)
    except (InvalidValue, TypeError):
        return False
