"""Whether a workspace's time is up, asking its gateway before calling it idle; and its deletion then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from bulkhead import duration, names
from bulkhead.api.events import EventReason
from bulkhead.api.parse import choose_class
from bulkhead.api.violation import Violation
from bulkhead.plan.activity import last_activity
from bulkhead.plan.events import EventRecord
from bulkhead.plan.expiry import Deadline, DeadlineKind, deadlines, is_expired
from bulkhead.plan.workloads import available_pods
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bulkhead.api.effective import Effective
    from bulkhead.api.parse import ParsedClass, ParsedWorkspace
    from bulkhead.engine.activity import ActivitySource
    from bulkhead.kube.client import KubeClient

__all__ = ["ASK_AGAIN_SECONDS", "Expirer", "Expiry", "age_ceiling", "expired_refused"]

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

    async def check_refused(
        self, workspace: ParsedWorkspace, classes: Mapping[str, ParsedClass], now: datetime
    ) -> datetime | None:
        """The end that has come for a provisioned workspace whose spec cannot be followed any more, or None.

        An edit that can never work must not make a workspace immortal. Which deadline `status.expiresAt` came
        from is not known then, so newer activity is believed, but not beyond what the class allows at most.
        """
        end = workspace.status.expires_at
        if end is None or now < end:
            return None
        ceiling = age_ceiling(workspace, classes)
        if ceiling is not None and now >= ceiling:
            return max(end, ceiling)
        answered, heard = await self._ask(workspace)
        known = workspace.status.last_activity or workspace.created_at
        return end if answered and (heard is None or heard <= known) else None

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
        if address and (answer := await self._activity.ask(workspace.uid, address)) is not None:
            return True, answer.latest
        deployment = await self._client.find("Deployment", names.GATEWAY, namespace)
        return available_pods(deployment) == 0, None


def expired_refused(end: datetime) -> EventRecord:
    """The Event of a workspace that ends by the last deadline that was good."""
    message = f"the last deadline that could be read ended at {end:%Y-%m-%dT%H:%M:%SZ}; it is being deleted"
    return EventRecord(EventReason.EXPIRED, message)


def age_ceiling(workspace: ParsedWorkspace, classes: Mapping[str, ParsedClass]) -> datetime | None:
    """The latest end by age that any readable spec could have; None: some class sets no ceiling.

    Of the workspace's own class where it is known; else the most generous: whoever can write a name that is
    no class's could write that one's.
    """
    spec = workspace.spec
    named = None if isinstance(spec, tuple) else choose_class(spec.class_name, classes)
    if named is not None and not isinstance(named, Violation):
        specs = [named[1]]
    else:
        specs = [cls.spec for cls in classes.values() if not isinstance(cls.spec, tuple)]
    ceilings = [each.ceilings.ttl for each in specs]
    own = None if isinstance(spec, tuple) else spec.lifecycle.ttl
    found = [] if own is None else [duration.seconds(own)]
    if ceilings and None not in ceilings:
        found.append(max(duration.seconds(text) for text in ceilings if text is not None))
    try:
        return workspace.created_at + timedelta(seconds=min(found)) if found else None
    except OverflowError:
        return None
