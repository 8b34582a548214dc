"""Leader election by a Lease, with client-go's semantics.

Whether the holder's time is up is judged from when *we* saw the record change, on a monotonic clock: clocks
of different nodes are never compared. A Lease is no fence: between its loss and our noticing, writes may
still go out, so writes must stay idempotent and deletes guarded by UIDs.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from bulkhead.errors import AlreadyExists, Conflict, KubeError, LeadershipLost

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bulkhead.kube.client import KubeClient
    from bulkhead.plan.observed import Manifest

__all__ = ["Election", "LeaseSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettings:
    """Where the Lease is and how patient its candidates are."""

    namespace: str
    name: str
    identity: str
    duration_seconds: float = 15.0  # a holder that is silent for so long has lost
    renew_seconds: float = 10.0  # a holder that could not renew for so long gives up by itself
    retry_seconds: float = 2.0


class Election:
    """One candidate: `acquire`, then `hold` beside the work, then `release`."""

    def __init__(
        self,
        client: KubeClient,
        settings: LeaseSettings,
        *,
        now: Callable[[], datetime],
        random: Callable[[], float],
        on_trouble: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._now = now
        self._random = random
        self._on_trouble = on_trouble  # told why an attempt failed, other than by another's holding it
        self._lease: Manifest | None = None  # as last seen or written
        self._seen_at = 0.0  # monotonic: when that record was new to us

    async def acquire(self) -> None:
        """Return once the Lease is ours; errors of the API server are waited out."""
        while not await self._attempt():  # noqa: ASYNC110 - the event is in the API server
            await asyncio.sleep(self._pause_seconds())

    async def hold(self) -> NoReturn:
        """Renew for as long as it goes; LeadershipLost ends it."""
        clock = asyncio.get_running_loop().time
        renewed_at = clock()
        while True:
            await asyncio.sleep(self._pause_seconds())
            try:
                async with asyncio.timeout_at(renewed_at + self._settings.renew_seconds):
                    while not await self._attempt():
                        if self._held_by_another():
                            raise LeadershipLost(f"hold Lease {self._where}: another has it; this one ends")
                        await asyncio.sleep(self._pause_seconds())
            except TimeoutError:
                raise LeadershipLost(
                    f"hold Lease {self._where}: not renewed in {self._settings.renew_seconds} s; it ends"
                ) from None
            renewed_at = clock()

    async def release(self) -> None:
        """Let a standby take over at once, if we hold the Lease; best effort."""
        if self._lease is None or self._held_by_another():
            return
        spec = self._lease["spec"] | {
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "renewTime": self._stamp(),
        }
        try:
            async with asyncio.timeout(self._settings.retry_seconds):
                await self._client.replace(self._lease | {"spec": spec})
        except (KubeError, TimeoutError):
            return  # it will run out by itself
        finally:
            self._lease = None

    @property
    def _where(self) -> str:
        return f"{self._settings.namespace}/{self._settings.name}"

    def _pause_seconds(self) -> float:
        return self._settings.retry_seconds * (0.6 + 0.4 * self._random())

    def _stamp(self) -> str:
        return self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # MicroTime

    def _held_by_another(self) -> bool:
        holder = (self._lease or {}).get("spec", {}).get("holderIdentity")
        return bool(holder) and holder != self._settings.identity

    async def _attempt(self) -> bool:
        """One try to get or renew; True if the Lease is ours now."""
        try:
            async with asyncio.timeout(self._settings.renew_seconds / 2):
                return await self._get_or_renew()
        except (AlreadyExists, Conflict):
            self._lease = None  # somebody was faster: look again before the next try
            return False
        except KubeError as error:
            self._on_trouble(str(error))
            return False
        except TimeoutError:
            self._on_trouble(f"renew Lease {self._where}: no answer in time")
            return False

    async def _get_or_renew(self) -> bool:
        clock = asyncio.get_running_loop().time
        if self._lease is None or self._held_by_another():
            found = await self._client.find("Lease", self._settings.name, self._settings.namespace)
            if found is None:
                self._remember(await self._client.create(self._manifest()), clock())
                return True
            if self._lease is None or found["spec"] != self._lease["spec"]:
                self._seen_at = clock()
            self._lease = found
        if self._held_by_another() and clock() < self._seen_at + self._lease_seconds():
            return False
        self._remember(await self._client.replace(self._lease | {"spec": self._spec()}), clock())
        return True

    def _remember(self, lease: Manifest, at: float) -> None:
        self._lease, self._seen_at = lease, at

    def _lease_seconds(self) -> float:
        spec = (self._lease or {}).get("spec", {})
        return float(spec.get("leaseDurationSeconds") or self._settings.duration_seconds)

    def _manifest(self) -> Manifest:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"namespace": self._settings.namespace, "name": self._settings.name},
            "spec": self._spec(),
        }

    def _spec(self) -> dict[str, Any]:
        before = (self._lease or {}).get("spec", {})
        ours = before.get("holderIdentity") == self._settings.identity
        return {
            "holderIdentity": self._settings.identity,
            # The API takes whole seconds; rounding up never shortens what a holder counts on.
            "leaseDurationSeconds": max(1, -int(-self._settings.duration_seconds // 1)),
            "acquireTime": before["acquireTime"] if ours else self._stamp(),
            "renewTime": self._stamp(),
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (0 if ours else 1),
        }
