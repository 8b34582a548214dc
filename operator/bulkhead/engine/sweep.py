"""Every ten minutes or so, queues everything: watches lose deletions across a 410, sweeps do not.

It also seeds the deadlines at start, so that an expiry does not wait behind the flood of first reconciles.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bulkhead import names
from bulkhead.api.parse import parse_workspace
from bulkhead.engine.classes import class_key
from bulkhead.engine.queue import Priority
from bulkhead.errors import BulkheadError
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkhead.engine.deadlines import Deadlines
    from bulkhead.engine.fleet import Fleet
    from bulkhead.engine.queue import WorkQueue
    from bulkhead.kube.client import KubeClient
    from bulkhead.plan.observed import Manifest

__all__ = ["Sweeper"]


class Sweeper:
    """Compares by having every workspace reconciled, at low priority, spread over half of the interval."""

    def __init__(
        self,
        client: KubeClient,
        queue: WorkQueue,
        deadlines: Deadlines,
        fleet: Fleet,
        *,
        interval_seconds: float,
        random: Callable[[], float],
    ) -> None:
        self._client = client
        self._queue = queue
        self._deadlines = deadlines
        self._fleet = fleet
        self._interval_seconds = interval_seconds
        self._random = random

    async def run(self) -> None:
        """Sweep for ever; the first one at once."""
        spread = 0.0
        while True:
            try:
                await self.sweep(spread)
            except BulkheadError as error:
                logs.error(LogEvent.SWEEP_FAILED, error=str(error))
            spread = self._interval_seconds / 2
            await asyncio.sleep(self._interval_seconds * (0.8 + 0.4 * self._random()))

    async def sweep(self, spread_seconds: float) -> None:
        """Queue every workspace and class, those gone included; report namespaces that nobody owns."""
        workspaces, classes, namespaces = await asyncio.gather(
            self._client.list(names.WORKSPACE_KIND),
            self._client.list(names.CLASS_KIND),
            self._client.list("Namespace", label_selector=names.MANAGED_SELECTOR),
        )
        for cls in classes:
            self._fleet.see_class(cls)
        listed = {workspace["metadata"]["name"]: workspace for workspace in workspaces}
        for workspace in workspaces:
            self._fleet.see(workspace)
            self._seed(workspace)
        for key in listed.keys() | set(self._fleet.names()):
            self._queue.add_after(key, spread_seconds * self._random(), Priority.BACKGROUND)
        self._fleet.complete = True
        for name in self._fleet.class_names():
            self._queue.add_after(class_key(name), spread_seconds * self._random(), Priority.BACKGROUND)
        orphans = [space for space in namespaces if not _is_owned(space, listed)]
        for space in orphans:
            logs.warning(LogEvent.ORPHAN_FOUND, namespace=space["metadata"]["name"])
        logs.debug(LogEvent.SWEEP_FINISHED, workspaces=len(workspaces), orphans=len(orphans))

    def _seed(self, workspace: Manifest) -> None:
        """The deadline that status remembers; the reconcile replaces it by the one that the spec says."""
        parsed = parse_workspace(workspace)
        if parsed.deletion_timestamp is None and parsed.status.expires_at is not None:
            self._deadlines.seed(parsed.name, parsed.status.expires_at)


def _is_owned(namespace: Manifest, workspaces: dict[str, Manifest]) -> bool:
    """Whether the workspace of its labels exists, in the same incarnation."""
    labels = namespace["metadata"].get("labels") or {}
    owner = workspaces.get(labels.get(names.WORKSPACE_LABEL, ""))
    return owner is not None and owner["metadata"]["uid"] == labels.get(names.WORKSPACE_UID_LABEL)
