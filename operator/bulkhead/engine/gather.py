"""Reads everything that a decision about one workspace needs, all at once, and decides nothing."""

from __future__ import annotations

import asyncio
import base64
import binascii
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from bulkhead import names
from bulkhead.api.conditions import ConditionStatus, ConditionType
from bulkhead.engine.class_use import LiveClass, live_class
from bulkhead.errors import Forbidden, NotFound
from bulkhead.plan.observed import Manifest, ObjectKey, Observed
from bulkhead.plan.ownership import carries_our_label
from bulkhead.render.context import SecretValue
from bulkhead.render.secrets import copied_secret

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bulkhead.api.effective import Effective
    from bulkhead.api.gateway import ApiKeySource
    from bulkhead.api.parse import ParsedWorkspace
    from bulkhead.api.status import WorkspaceStatus
    from bulkhead.api.workspace import SecretSourceRef
    from bulkhead.engine.keys import PublicKeys, SigningKeys
    from bulkhead.kube.client import KubeClient

__all__ = [
    "CHILD_KINDS",
    "Gatherer",
    "SecretSources",
    "delivered_keys",
    "kept_values",
    "secret_sources",
    "service_ips",
    "with_written",
]

CHILD_KINDS: Final = (
    "Deployment",
    "LimitRange",
    "NetworkPolicy",
    "PersistentVolumeClaim",
    "ResourceQuota",
    "RoleBinding",
    "Secret",
    "Service",
    "ServiceAccount",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSources:
    """What the sources of a workspace's Secrets could be read as."""

    values: Mapping[str, SecretValue] = field(default_factory=dict)  # name of the copy -> value
    missing: tuple[str, ...] = ()  # "namespace/name:key"


class Gatherer:
    """The reading half of the loop."""

    def __init__(self, client: KubeClient, keys: SigningKeys, *, operator_namespace: str) -> None:
        self._client = client
        self._keys = keys
        self._operator_namespace = operator_namespace

    async def workspace(self, name: str) -> Manifest | None:
        """The TenantWorkspace as it is now."""
        return await self._client.find(names.WORKSPACE_KIND, name)

    async def classes(self) -> Mapping[str, LiveClass]:
        """Every WorkspaceClass by name."""
        return {cls.parsed.name: cls for cls in map(live_class, await self._client.list(names.CLASS_KIND))}

    async def observe(self, workspace: ParsedWorkspace) -> tuple[Observed, PublicKeys | None]:
        """The namespace and everything of a managed kind in it, whoever made it; and the signing key."""
        name = names.namespace(workspace.name, workspace.uid)
        status = workspace.status
        outside = asyncio.gather(self._client.find("Namespace", name), self._keys.find(workspace.uid))
        if status.namespace is None:  # most likely nothing is there yet: ten lists less for a new workspace
            live, keys = await outside
            objects, pods = await self._inside(name) if live is not None else ({}, ())
        else:
            (live, keys), (objects, pods) = await asyncio.gather(outside, self._inside(name))
        observed = Observed(
            namespace=live,
            objects=objects,
            pods=pods,
            namespace_uid=status.namespace.uid if status.namespace else None,
            signing_key_uid=keys.secret_uid if keys else None,
            was_ready=was_ready(status, workspace.generation),
            last_activity=status.last_activity,
        )
        return observed, keys

    async def _inside(self, name: str) -> tuple[Mapping[ObjectKey, Manifest], tuple[Manifest, ...]]:
        pods, *lists = await asyncio.gather(
            self._client.list("Pod", name), *(self._children(kind, name) for kind in CHILD_KINDS)
        )
        objects = {
            ObjectKey(kind, item["metadata"]["name"]): _slim(item)
            for kind, items in zip(CHILD_KINDS, lists, strict=True)
            for item in items
        }
        return objects, tuple(map(_slim, pods))

    async def secrets(self, sources: Mapping[str, SecretSourceRef | ApiKeySource]) -> SecretSources:
        """The values by name of the copy; what does not exist or may not be read is named, not raised."""
        wanted = sorted({(ref.namespace, ref.name) for ref in sources.values()})
        found = dict(zip(wanted, await asyncio.gather(*(self._data(*each) for each in wanted)), strict=True))
        values: dict[str, SecretValue] = {}
        missing: list[str] = []
        for copy, ref in sources.items():
            value = _decoded(found[ref.namespace, ref.name].get(ref.key))
            if value is None:
                missing.append(f"{ref.namespace}/{ref.name}:{ref.key}")
            else:
                values[copy] = value
        return SecretSources(values=values, missing=tuple(dict.fromkeys(missing)))

    async def _children(self, kind: str, namespace: str) -> list[Manifest]:
        try:
            return await self._client.list(kind, namespace)
        except Forbidden:
            # Secrets are ours to read only through the RoleBinding in the namespace. While that is missing,
            # the plan restores it first, and then applies over whatever Secrets there are.
            if kind != "Secret":
                raise
            return []

    async def _data(self, namespace: str, name: str) -> Mapping[str, Any]:
        if namespace == self._operator_namespace:  # whatever a class allows: signing keys are kept there
            return {}
        try:
            secret = await self._client.get("Secret", name, namespace)
        except (NotFound, Forbidden):
            return {}
        return secret.get("data") or {}


def was_ready(status: WorkspaceStatus, generation: int) -> bool:
    """Whether the workspace had reached Ready in this very generation: what is missing was taken away."""
    return status.observed_generation == generation and any(
        condition.type is ConditionType.READY and condition.status is ConditionStatus.TRUE
        for condition in status.conditions
    )


def secret_sources(effective: Effective) -> Mapping[str, SecretSourceRef | ApiKeySource]:
    """Every Secret that is a copy, by its name in the workspace, and where its value comes from."""
    sources: dict[str, SecretSourceRef | ApiKeySource] = {
        copied_secret(source.name): source.from_ for source in effective.secrets
    }
    if effective.model is not None and effective.model.api_key is not None:
        sources[names.MODEL_KEY_SECRET] = effective.model.api_key
    return sources


def kept_values(
    read: SecretSources, observed: Observed, copies: Iterable[str], uid: str
) -> Mapping[str, SecretValue]:
    """Values by name of the copy: as read, else as copied last; a source that vanishes takes nothing away."""
    values = dict(read.values)
    for name in copies:
        copy = observed.objects.get(ObjectKey("Secret", name))
        if name in values or copy is None or not carries_our_label(copy, uid):
            continue
        value = _decoded((copy.get("data") or {}).get("value"))
        if value is not None:
            values[name] = value
    return values


def service_ips(observed: Observed) -> Mapping[str, str]:
    """Service name to ClusterIP, as far as they have one."""
    return {
        key.name: ip
        for key, live in observed.objects.items()
        if key.kind == "Service" and (ip := live.get("spec", {}).get("clusterIP")) not in {None, "", "None"}
    }


def delivered_keys(observed: Observed) -> str:
    """The key set that the workspace's gateway mounts; empty: none."""
    secret = observed.objects.get(ObjectKey("Secret", names.SESSION_KEYS_SECRET)) or {}
    value = _decoded((secret.get("data") or {}).get("jwks.json"))
    return value.reveal().decode(errors="replace") if value is not None else ""


def with_written(observed: Observed, written: Sequence[Manifest]) -> Observed:
    """What is known after our own writes: the API server's answers are live objects."""
    objects = dict(observed.objects)
    namespace = observed.namespace
    for live in written:
        if live["kind"] == "Namespace":
            namespace = _slim(live)
        else:
            objects[ObjectKey(live["kind"], live["metadata"]["name"])] = _slim(live)
    return replace(observed, namespace=namespace, objects=objects)


def _slim(live: Manifest) -> Manifest:
    """Without managedFields: often half of an object, and nobody's business here."""
    live["metadata"].pop("managedFields", None)
    return live


def _decoded(encoded: object) -> SecretValue | None:
    try:
        return SecretValue(base64.b64decode(encoded, validate=True)) if isinstance(encoded, str) else None
    except binascii.Error:
        return None
