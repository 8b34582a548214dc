"""Writes what was judged: status when it differs, Events as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.api.conditions import ConditionType
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
_AUDIT_MANAGER: Final = f"{names.FIELD_MANAGER}-audit"
_ANCHORS: Final = ConditionType.AUDIT_INTACT  # the anchor's; all others are the reconcile's


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
        conditions = tuple(each for each in status.conditions if each.type is not _ANCHORS)
        mine = status.model_copy(update={"audit": None, "conditions": conditions})
        return await self._write(names.WORKSPACE_KIND, workspace, mine, _STATUS_MANAGER)

    async def audit(self, workspace: ParsedWorkspace, status: WorkspaceStatus) -> Manifest | None:
        """Write what the anchor found, and nothing else of the status, if it differs from what was read.

        Under a manager of its own: server-side apply keeps the two from taking each other's fields away.
        """
        if status == workspace.status:
            return None
        conditions = tuple(each for each in status.conditions if each.type is _ANCHORS)
        found = {"audit": status.audit, "conditions": conditions}
        body = {key: value for key, value in found.items() if value}
        dumped = status.model_copy(update=body).model_dump(
            mode="json", by_alias=True, exclude_none=True, include=set(body)
        )
        return await self._apply(names.WORKSPACE_KIND, workspace, dumped, _AUDIT_MANAGER)

    async def class_status(
        self, cls: ParsedClass, previous: ClassStatus, status: ClassStatus
    ) -> Manifest | None:
        """Write the class's status if it differs; the live object, or None: nothing written."""
        return (
            None if status == previous else await self._write(names.CLASS_KIND, cls, status, _STATUS_MANAGER)
        )

    async def _write(
        self, kind: str, about: ParsedWorkspace | ParsedClass, status: ApiModel, manager: str
    ) -> Manifest | None:
        return await self._apply(
            kind, about, status.model_dump(mode="json", by_alias=True, exclude_none=True), manager
        )

    async def _apply(
        self, kind: str, about: ParsedWorkspace | ParsedClass, status: Manifest, manager: str
    ) -> Manifest | None:
        manifest = {
            "apiVersion": names.API_VERSION,
            "kind": kind,
            # With the UID, the status of a deleted object never lands on its successor of the same name.
            "metadata": {"name": about.name, "uid": about.uid},
            "status": status,
        }
        try:
            live = await self._client.apply_status(manifest, manager=manager)
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
