"""Events about workspaces and classes: written beside the work, at most once a window, never in its way."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from bulkhead import names
from bulkhead.errors import KubeError, NotFound

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bulkhead.kube.client import KubeClient

__all__ = ["EventWriter", "Happening"]

# Events about cluster-scoped objects must live here: kubernetes/pkg/apis/core/validation/events.go.
_NAMESPACE: Final = "default"
_BACKLOG: Final = 1000
_NOTE_LENGTH: Final = 1024  # limit of the API
_WINDOW_SECONDS: Final = 300.0
_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class Happening:
    """Something to tell about one workspace or class; equal ones inside the window are told once."""

    name: str
    uid: str
    type: str  # Normal or Warning
    reason: str
    note: str
    kind: str = names.WORKSPACE_KIND
    action: str = "Reconcile"


@dataclass(frozen=True, slots=True)
class _Told:
    name: str
    at: float
    count: int


class EventWriter:
    """`tell` returns at once; `run` writes."""

    def __init__(
        self,
        client: KubeClient,
        *,
        instance: str,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        on_drop: Callable[[Happening, str], None],
    ) -> None:
        self._client = client
        self._instance = instance
        self._now = now
        self._new_id = new_id
        self._on_drop = on_drop
        self._backlog: asyncio.Queue[Happening] = asyncio.Queue(_BACKLOG)
        self._told: dict[Happening, _Told] = {}

    def tell(self, happening: Happening) -> None:
        """Queue it; with a full backlog it is dropped, because Events are worth less than work."""
        try:
            self._backlog.put_nowait(happening)
        except asyncio.QueueFull:
            self._on_drop(happening, "backlog full")

    async def run(self) -> None:
        """Write for ever."""
        while True:
            happening = await self._backlog.get()
            try:
                await self._write(happening)
            except KubeError as error:
                self._on_drop(happening, str(error))
            finally:
                self._backlog.task_done()

    async def drain(self, seconds: float) -> None:
        """Give what is queued so long to be written."""
        try:
            async with asyncio.timeout(seconds):
                await self._backlog.join()
        except TimeoutError:
            return

    async def _write(self, happening: Happening) -> None:
        now = asyncio.get_running_loop().time()
        told = self._told.get(happening)
        if told is None:
            await self._first(happening, now)
            return
        self._told[happening] = replace(told, count=told.count + 1)
        if now - told.at < _WINDOW_SECONDS:
            return
        series = {"count": told.count + 1, "lastObservedTime": self._stamp()}
        try:
            await self._client.merge("Event", told.name, _NAMESPACE, {"series": series})
            self._told[happening] = _Told(told.name, now, told.count + 1)
        except NotFound:  # Events live for an hour
            await self._first(happening, now)

    async def _first(self, happening: Happening, now: float) -> None:
        name = f"{happening.name}.{self._new_id()}"
        await self._client.create(self._manifest(happening, name))
        self._told[happening] = _Told(name, now, 1)
        while len(self._told) > _REMEMBERED:
            del self._told[next(iter(self._told))]

    def _stamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # MicroTime

    def _manifest(self, happening: Happening, name: str) -> dict[str, Any]:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": _NAMESPACE},
            "eventTime": self._stamp(),
            "reportingController": f"{names.GROUP}/operator",
            "reportingInstance": self._instance[:128],
            "action": happening.action,
            "reason": happening.reason,
            "type": happening.type,
            "note": happening.note[:_NOTE_LENGTH],
            "regarding": {
                "apiVersion": names.API_VERSION,
                "kind": happening.kind,
                "name": happening.name,
                "uid": happening.uid,
            },
        }
