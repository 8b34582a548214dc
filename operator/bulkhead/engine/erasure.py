"""Has a workspace's conversations overwritten before its volume goes.

Deleting a volume is the storage system's affair: it may leave the bytes to whoever gets the disk next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead.plan.workloads import serving_gateways
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkhead.engine.door import Door
    from bulkhead.plan.observed import Manifest

__all__ = ["erase_conversations"]

_PATH: Final = "/internal/v1/erase"
_OK: Final = 200


async def erase_conversations(door: Door, uid: str, pods: Iterable[Manifest]) -> None:
    """By the first gateway that does: all share one volume. That none did is logged and holds nothing up."""
    serving = serving_gateways(pods, uid)
    for pod in serving:
        reply = await door.ask(uid, pod["status"]["podIP"], _PATH, method="POST")
        if reply is not None and reply.status == _OK:
            return
    if serving:
        logs.warning(LogEvent.MEMORY_NOT_ERASED, gateways=len(serving))
