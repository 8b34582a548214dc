"""An API server in memory for the engine: the verbs of KubeClient over `support.store`.

What it simplifies: there is no HTTP, no watch and no authorization; server-side apply knows one manager, but
for status; only our own kinds have a status subresource; garbage collection and controllers act when a test
calls `tick`.
"""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from typing import TYPE_CHECKING, Any

from support.store import Store

from bulkhead import names
from bulkhead.errors import AlreadyExists, Conflict, Invalid, KubeError, NotFound
from bulkhead.plan.actions import Delete

if TYPE_CHECKING:
    from collections.abc import Sequence

    from support.clocks import LoopClock

__all__ = ["FakeApi"]

Manifest = dict[str, Any]
_WRITES = {"apply", "create", "delete", "patch", "replace", "status"}


class FakeApi:
    """Counts calls by verb and kind, and refuses what a test asks it to refuse."""

    def __init__(self, clock: LoopClock) -> None:
        self.store = Store()
        self.calls: Counter[tuple[str, str]] = Counter()
        self.history: list[tuple[str, str, str]] = []  # verb, kind, name: writes only
        self._clock = clock
        self._applied: dict[tuple[str, str], Manifest] = {}  # what each manager last applied to a status
        self._refusals: list[tuple[str, str, type[KubeError], int]] = []

    def refuse(self, verb: str, kind: str, error: type[KubeError], times: int = 10**6) -> None:
        """Answer so many such calls with this error."""
        self._refusals.append((verb, kind, error, times))

    def accept_all(self) -> None:
        """Refuse nothing more."""
        self._refusals.clear()

    @property
    def writes(self) -> int:
        """Writing calls, whether they changed anything or not."""
        return sum(count for (verb, _), count in self.calls.items() if verb in _WRITES)

    def make_workspace(self, name: str, spec: Manifest | None = None, **metadata: Any) -> Manifest:
        """A TenantWorkspace, created now."""
        self._create(names.WORKSPACE_KIND, name, spec or {}, metadata)
        return self.workspace(name)

    def make_class(
        self, name: str = "standard", spec: Manifest | None = None, *, default: bool = True
    ) -> Manifest:
        """A WorkspaceClass, the default one."""
        annotations = {"annotations": {names.DEFAULT_CLASS_ANNOTATION: "true"}} if default else {}
        self._create(names.CLASS_KIND, name, spec or {}, annotations)
        return self.store.objects[names.CLASS_KIND, None, name]

    def workspace(self, name: str) -> Manifest:
        """The live TenantWorkspace."""
        return self.store.objects[names.WORKSPACE_KIND, None, name]

    def edit_spec(self, name: str, **fields: Any) -> None:
        """What `kubectl edit` would do."""
        live = self.store.edit(names.WORKSPACE_KIND, None, name)
        live["spec"] |= fields
        live["metadata"]["generation"] += 1

    def delete_workspace(self, name: str, kind: str = names.WORKSPACE_KIND) -> None:
        """What `kubectl delete --wait=false` would do, to a class too."""
        live = self.store.edit(kind, None, name)
        live["metadata"]["deletionTimestamp"] = self._clock.now().isoformat()
        self._collect(kind, name)

    def condition(self, name: str, kind: str, of: str = names.WORKSPACE_KIND) -> tuple[str, str]:
        """Status and reason of one condition."""
        conditions = self.store.objects[of, None, name]["status"]["conditions"]
        found = [each for each in conditions if each["type"] == kind]
        return found[0]["status"], found[0]["reason"]

    async def get(self, kind: str, name: str, namespace: str | None = None) -> Manifest:
        await self._enter("get", kind, name)
        live = self.store.objects.get((kind, namespace, name))
        if live is None:
            raise self._error(NotFound, "get", kind, name)
        return copy.deepcopy(live)

    async def find(self, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        try:
            return await self.get(kind, name, namespace)
        except NotFound:
            return None

    async def list(
        self, kind: str, namespace: str | None = None, *, label_selector: str = ""
    ) -> list[Manifest]:
        await self._enter("list", kind, "")
        label, _, value = label_selector.partition("=")
        return [
            copy.deepcopy(live)
            for where, live in sorted(self.store.objects.items(), key=str)
            if where[0] == kind
            and namespace in {None, where[1]}
            and (not label or (live["metadata"].get("labels") or {}).get(label) == value)
        ]

    async def apply(self, manifest: Manifest, *, manager: str = names.FIELD_MANAGER) -> Manifest:
        where = await self._writes("apply", manifest)
        del manager
        live = self.store.objects.get(where)
        uid = manifest["metadata"].get("uid")
        if uid is not None and (live is None or live["metadata"]["uid"] != uid):
            raise self._error(Conflict, "apply", where[0], where[2])
        self.store.apply(copy.deepcopy(manifest))
        return copy.deepcopy(self.store.objects[where])

    async def apply_status(self, manifest: Manifest, *, manager: str) -> Manifest:
        name = manifest["metadata"]["name"]
        await self._enter("status", manifest["kind"], name)
        live = self.store.objects.get((manifest["kind"], None, name))
        if live is None:
            raise self._error(NotFound, "apply", manifest["kind"], name)
        if live["metadata"]["uid"] != manifest["metadata"]["uid"]:
            raise self._error(Conflict, "apply", manifest["kind"], name)
        live = self.store.edit(manifest["kind"], None, name)
        owner = (live["metadata"]["uid"], manager)
        before, after = self._applied.get(owner, {}), copy.deepcopy(manifest["status"])
        live["status"] = _applied(live.get("status") or {}, before, after)
        self._applied[owner] = after
        return copy.deepcopy(live)

    async def create(self, manifest: Manifest) -> Manifest:
        where = await self._writes("create", manifest)
        if where in self.store.objects:
            raise self._error(AlreadyExists, "create", where[0], where[2])
        self.store.create(manifest)
        return copy.deepcopy(self.store.objects[where])

    async def replace(self, manifest: Manifest) -> Manifest:
        where = await self._writes("replace", manifest)
        live = self.store.objects.get(where)
        if live is None:
            raise self._error(NotFound, "replace", where[0], where[2])
        if live["metadata"]["resourceVersion"] != manifest["metadata"]["resourceVersion"]:
            raise self._error(Conflict, "replace", where[0], where[2])
        self.store.replace(copy.deepcopy(manifest))
        return copy.deepcopy(self.store.objects[where])

    async def delete(
        self,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        uid: str,
        resource_version: str | None = None,
        propagation: str = "Background",
    ) -> bool:
        await self._enter("delete", kind, name)
        del propagation
        live = self.store.objects.get((kind, namespace, name))
        if live is None:
            return False
        if live["metadata"]["uid"] != uid:
            raise self._error(Conflict, "delete", kind, name)
        if resource_version not in {None, live["metadata"]["resourceVersion"]}:
            raise self._error(Conflict, "delete", kind, name)
        if kind in {names.WORKSPACE_KIND, names.CLASS_KIND}:
            self.delete_workspace(name, kind)
        else:
            self.store.delete(Delete("", kind, namespace, name, uid))
        return True

    async def set_finalizers(
        self, kind: str, name: str, finalizers: Sequence[str], *, resource_version: str
    ) -> Manifest:
        await self._enter("patch", kind, name)
        live = self.store.objects.get((kind, None, name))
        if live is None:
            raise self._error(NotFound, "patch", kind, name)
        if live["metadata"]["resourceVersion"] != resource_version:
            raise self._error(Conflict, "patch", kind, name)
        if "deletionTimestamp" in live["metadata"] and set(finalizers) - set(live["metadata"]["finalizers"]):
            raise self._error(Invalid, "patch", kind, name)  # none may be added any more
        live = self.store.edit(kind, None, name)
        live["metadata"]["finalizers"] = [*finalizers]
        answer = copy.deepcopy(live)
        self._collect(kind, name)
        return answer

    def _create(self, kind: str, name: str, spec: Manifest, metadata: Manifest) -> None:
        created = {"creationTimestamp": self._clock.now().isoformat(), "generation": 1}
        self.store.create(
            {"kind": kind, "metadata": {"name": name} | created | metadata, "spec": copy.deepcopy(spec)}
        )

    def _collect(self, kind: str, name: str) -> None:
        """A deleted object without finalizers is gone."""
        metadata = self.store.objects[kind, None, name]["metadata"]
        if "deletionTimestamp" in metadata and not metadata.get("finalizers"):
            del self.store.objects[kind, None, name]

    async def _writes(self, verb: str, manifest: Manifest) -> tuple[str, str | None, str]:
        metadata = manifest["metadata"]
        where = (manifest["kind"], metadata.get("namespace"), metadata["name"])
        await self._enter(verb, where[0], where[2])
        return where

    async def _enter(self, verb: str, kind: str, name: str) -> None:
        """Every call takes a turn of the loop, so that calls side by side really interleave."""
        await asyncio.sleep(0)
        self.calls[verb, kind] += 1
        if verb in _WRITES:
            self.history.append((verb, kind, name))
        for index, (refused, of, error, times) in enumerate(self._refusals):
            if (refused, of) == (verb, kind) and times > 0:
                self._refusals[index] = (refused, of, error, times - 1)
                raise self._error(error, verb, kind, name)

    @staticmethod
    def _error(kind_of: type[KubeError], verb: str, kind: str, name: str) -> KubeError:
        return kind_of(
            verb, kind, None, name, status=None, reason=kind_of.__name__, message="as the test asked"
        )


def _applied(live: Manifest, before: Manifest, after: Manifest) -> Manifest:
    """Server-side apply of one manager: what it applied before and left out now goes, others' fields stay."""
    kept = {key: value for key, value in live.items() if key not in before or key == "conditions"}
    gone = {each["type"] for each in before.get("conditions", ())}
    conditions = {each["type"]: each for each in live.get("conditions", ()) if each["type"] not in gone}
    conditions |= {each["type"]: each for each in after.get("conditions", ())}
    return {**kept, **after, **({"conditions": list(conditions.values())} if conditions else {})}
