"""One reconcile of one class: who uses it, whether the cluster can run it, and whether it may go."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.engine.class_status import judge_class
from bulkhead.engine.class_use import live_class
from bulkhead.engine.fleet import Fleet
from bulkhead.errors import Conflict, NotFound
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from bulkhead.engine.class_use import ClassUse, LiveClass
    from bulkhead.engine.clock import Clock
    from bulkhead.engine.echoes import Echoes
    from bulkhead.engine.facts import FactsSource
    from bulkhead.engine.report import Reporter
    from bulkhead.kube.client import KubeClient
    from bulkhead.plan.observed import Manifest

__all__ = ["ClassReconciler", "class_key", "class_of_key"]

_PREFIX: Final = "class/"  # no workspace's name has a slash
_LISTED_AGAIN_SECONDS: Final = 1.0
_UNFIT_AGAIN_SECONDS: Final = 60.0  # nodes are not watched


def class_key(name: str) -> str:
    """The key of a class in the queue of workspaces."""
    return f"{_PREFIX}{name}"


def class_of_key(key: str) -> str | None:
    """The class behind a key, or None: it is a workspace's."""
    return key.removeprefix(_PREFIX) if key.startswith(_PREFIX) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassReconciler:
    """Level-triggered: everything is decided from what is there now."""

    client: KubeClient
    clock: Clock
    fleet: Fleet
    facts: FactsSource
    reporter: Reporter
    echoes: Echoes
    use: ClassUse
    _holding: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def reconcile(self, name: str) -> float | None:
        """Write what has changed; seconds until it wants to be called again by itself."""
        if not self.fleet.complete:  # a count from half a list would be written, and corrected, at each start
            return _LISTED_AGAIN_SECONDS
        live = await self.client.find(names.CLASS_KIND, name)
        if live is None:
            self.fleet.forget_class(name)
            return None
        self.fleet.see_class(live)
        users = self.fleet.users(name)
        cls = live_class(live)
        if users and not cls.is_held and not cls.is_going:
            live = await self._write_finalizer(live, held=True)
        elif not users and cls.is_held:
            users = await self._release(live)
            if not users:
                if cls.is_going:
                    return (
                        None  # the API server has removed it with its last finalizer, or another's holds it
                    )
                live = await self.client.get(names.CLASS_KIND, name)
        return await self._report(live, users)

    async def hold(self, cls: LiveClass) -> None:
        """The class carries our finalizer when this returns; Conflict if it went away meanwhile."""
        if cls.is_held:
            return
        async with self._holding:  # many workspaces of a new class at once: one writes, the others see it
            live = await self.client.find(names.CLASS_KIND, cls.parsed.name)
            if live is None or live["metadata"]["uid"] != cls.parsed.uid or live_class(live).is_going:
                raise Conflict(
                    "patch", names.CLASS_KIND, None, cls.parsed.name,
                    status=None, reason="Gone", message="it is going away; classes are looked at again",
                )  # fmt: skip
            if not live_class(live).is_held:
                await self._write_finalizer(live, held=True)

    async def _release(self, live: Manifest) -> list[str]:
        """Take the finalizer off if fresh lists show no user; who uses the class all the same."""
        name = live["metadata"]["name"]
        with self.use.releasing(name):
            workspaces, classes = await asyncio.gather(
                self.client.list(names.WORKSPACE_KIND), self.client.list(names.CLASS_KIND)
            )
            users = Fleet.of(workspaces, classes).users(name)
            if not users:
                await self._write_finalizer(live, held=False)
            return users

    async def _write_finalizer(self, live: Manifest, *, held: bool) -> Manifest:
        """Exactly this entry, over exactly the version that was read."""
        metadata = live["metadata"]
        others = [each for each in metadata.get("finalizers") or () if each != names.CLASS_FINALIZER]
        try:
            written = await self.client.set_finalizers(
                names.CLASS_KIND,
                metadata["name"],
                [*others, names.CLASS_FINALIZER] if held else others,
                resource_version=metadata["resourceVersion"],
            )
        except NotFound:
            if held:
                raise
            return live
        self.echoes.remember(written)
        logs.info(LogEvent.CLASS_CHANGED, held=held)
        return written

    async def _report(self, live: Manifest, users: list[str]) -> float | None:
        verdict = judge_class(live, users, await self.facts.current(), self.clock.now())
        if await self.reporter.class_status(verdict.cls, verdict.previous, verdict.status) is not None:
            logs.info(LogEvent.CLASS_CHANGED, users=len(users))
        self.reporter.class_events(verdict.cls, verdict.events)
        return _UNFIT_AGAIN_SECONDS if verdict.is_unfit else None
