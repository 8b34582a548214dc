"""Whether a workspace's time is up, asking its gateway before calling it idle; and its deletion then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.plan.activity import last_activity
from bulkhead.plan.expiry import Deadline, DeadlineKind, deadlines, is_expired
from bulkhead.plan.workloads import available_pods
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from datetime import datetime

    from bulkhead.api.effective import Effective
    from bulkhead.api.parse import ParsedWorkspace
    from bulkhead.engine.activity import ActivitySource
    from bulkhead.kube.client import KubeClient

__all__ = ["ASK_AGAIN_SECONDS", "Expirer", "Expiry"]

ASK_AGAIN_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expiry:
    """The answer at one moment."""

    due: Deadline | None = None  # the deadline that has come
    heard: datetime | None = None  # what the gateway said, if it was asked
    ask_again: bool = False  # idle as far as we know, but the gateway could not be asked


class Expirer:
    """Reads clocks of nobody: the moment is an argument."""

    def __init__(self, client: KubeClient, activity: ActivitySource) -> None:
        self._client = client
        self._activity = activity

    async def check(self, workspace: ParsedWorkspace, effective: Effective, now: datetime) -> Expiry:
        """The deadline that has come, if any; an idle one only if the gateway knows of nothing newer."""
        known = last_activity(effective, workspace.status, heard=None, now=now)
        due = [found for found in deadlines(effective, last_activity=known) if is_expired(found, now)]
        if not due:
            return Expiry()
        if due[0].kind is not DeadlineKind.IDLE_TTL or len(due) > 1:
            return Expiry(due=due[0])
        answered, heard = await self._ask(workspace)
        if not answered:
            logs.warning(LogEvent.ACTIVITY_UNKNOWN, ask_again_seconds=ASK_AGAIN_SECONDS)
            return Expiry(ask_again=True)
        latest = last_activity(effective, workspace.status, heard=heard, now=now)
        still = [found for found in deadlines(effective, last_activity=latest) if is_expired(found, now)]
        return Expiry(due=still[0] if still else None, heard=heard)

    async def check_refused(self, workspace: ParsedWorkspace, now: datetime) -> bool:
        """Whether a provisioned workspace whose spec cannot be read any more has reached its last good end.

        An edit that can never work must not make a workspace immortal. Which deadline `status.expiresAt` came
        from is not known then, so newer activity is believed, whatever it was.
        """
        end = workspace.status.expires_at
        if end is None or now < end:
            return False
        answered, heard = await self._ask(workspace)
        known = workspace.status.last_activity or workspace.created_at
        return answered and (heard is None or heard <= known)

    async def delete(self, workspace: ParsedWorkspace) -> None:
        """Delete exactly what was read: an edit that extends it at the last moment wins (Conflict)."""
        await self._client.delete(
            names.WORKSPACE_KIND,
            workspace.name,
            uid=workspace.uid,
            resource_version=workspace.resource_version,
        )

    async def _ask(self, workspace: ParsedWorkspace) -> tuple[bool, datetime | None]:
        """Whether there is an answer, and what it says; a gateway that does not run cannot have served."""
        namespace = names.namespace(workspace.name, workspace.uid)
        service = await self._client.find("Service", names.GATEWAY, namespace)
        address = (service or {}).get("spec", {}).get("clusterIP")
        if address and (answer := await self._activity.ask(address)) is not None:
            return True, answer.latest
        deployment = await self._client.find("Deployment", names.GATEWAY, namespace)
        return available_pods(deployment) == 0, None
