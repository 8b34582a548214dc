"""Tells running gateways to refuse the tokens of earlier epochs.

A gateway that starts reads the epoch from a file that it mounts, so only those that serve already must be
told; kubelets renew the file of a running pod a minute and a half later. What a gateway has confirmed is
remembered until its pod is gone: after a restart of the operator everyone is told again, which is harmless.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from bulkhead.plan.workloads import serving_gateways

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkhead.engine.door import Door
    from bulkhead.plan.observed import Manifest

__all__ = ["REVOKED_AGAIN_SECONDS", "Revocations"]

REVOKED_AGAIN_SECONDS: Final = 1.0
_PATH: Final = "/internal/v1/epoch"
_OK: Final = 200


class Revocations:
    """Which gateway enforces which epoch, as far as they have said."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._confirmed: dict[str, dict[str, int]] = {}  # workspace UID -> pod UID -> epoch

    def forget(self, uid: str) -> None:
        """The workspace is gone."""
        self._confirmed.pop(uid, None)

    async def push(self, uid: str, epoch: int, pods: Iterable[Manifest]) -> tuple[str, ...]:
        """Tell every gateway that serves, all at once; the pods that have not confirmed, by name.

        Epoch 0 revokes nothing: a workspace that never raised it costs no question.
        """
        if epoch == 0:
            return ()
        serving = serving_gateways(pods, uid)
        known = self._confirmed.get(uid, {})
        told = await asyncio.gather(*(self._tell(uid, epoch, pod, known) for pod in serving))
        self._confirmed[uid] = {
            pod["metadata"]["uid"]: found for pod, found in zip(serving, told, strict=True)
        }
        return tuple(
            sorted(pod["metadata"]["name"] for pod, found in zip(serving, told, strict=True) if found < epoch)
        )

    async def _tell(self, uid: str, epoch: int, pod: Manifest, known: dict[str, int]) -> int:
        """The epoch that the gateway in this pod is known to enforce."""
        before = known.get(pod["metadata"]["uid"], 0)
        if before >= epoch:
            return before
        reply = await self._door.ask(uid, pod["status"]["podIP"], _PATH, method="POST", body={"epoch": epoch})
        answer = reply.json() if reply is not None and reply.status == _OK else None
        found = answer.get("epoch") if isinstance(answer, dict) else None
        return found if isinstance(found, int) and found >= epoch else before
