"""Writes what was judged: status when it differs, Events as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.errors import NotFound
from bulkhead.kube.events import Happening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bulkhead.api.base import ApiModel
    from bulkhead.api.parse import ParsedClass, ParsedWorkspace
    from bulkhead.api.status import ClassStatus, WorkspaceStatus
    from bulkhead.engine.echoes import Echoes
    from bulkhead.kube.client import KubeClient
    from bulkhead.plan.events import EventRecord
    from bulkhead.plan.observed import Manifest

__all__ = ["Reporter"]

_STATUS_MANAGER: Final = f"{names.FIELD_MANAGER}-status"


class Reporter:
    """The only writer of status."""

    def __init__(self, client: KubeClient, echoes: Echoes, tell: Callable[[Happening], None]) -> None:
        self._client = client
        self._echoes = echoes
        self._tell = tell

    async def status(self, workspace: ParsedWorkspace, status: WorkspaceStatus) -> Manifest | None:
        """Write the status if it differs from what was read; the live object, or None: nothing written."""
        if status == workspace.status:
            return None
        return await self._write(names.WORKSPACE_KIND, workspace, status)

    async def class_status(
        self, cls: ParsedClass, previous: ClassStatus, status: ClassStatus
    ) -> Manifest | None:
        """Write the class's status if it differs; the live object, or None: nothing written."""
        return None if status == previous else await self._write(names.CLASS_KIND, cls, status)

    async def _write(
        self, kind: str, about: ParsedWorkspace | ParsedClass, status: ApiModel
    ) -> Manifest | None:
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": kind,
            # With the UID, the status of a deleted object never lands on its successor of the same name.
            "metadata": {"name": about.name, "uid": about.uid},
            "status": status.model_dump(mode="json", by_alias=True, exclude_none=True),
        }
        try:
            live = await self._client.apply_status(manifest, manager=_STATUS_MANAGER)
        except NotFound:  # deleted meanwhile: nobody is left to read it
            return None
        self._echoes.remember(live)
        return live

    def events(self, workspace: ParsedWorkspace, events: Iterable[EventRecord]) -> None:
        """Queue the Events; they are written beside the work."""
        self._say(workspace, events, names.WORKSPACE_KIND)

    def class_events(self, cls: ParsedClass, events: Iterable[EventRecord]) -> None:
        """The same, about a class."""
        self._say(cls, events, names.CLASS_KIND)

    def _say(self, about: ParsedWorkspace | ParsedClass, events: Iterable[EventRecord], kind: str) -> None:
        for event in events:
            self._tell(Happening(about.name, about.uid, event.reason.type, event.reason, event.message, kind))
