"""Holds every gateway's audit log to what was seen of it last: a look each half minute, a write if it grew.

One list of workspaces a round, then one question a gateway; records are read only where the log has grown,
and each is checked against the one before it. A backlog too long for one look is checked over several.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NamedTuple

from bulkhead import names
from bulkhead.api.conditions import ConditionStatus, ConditionType
from bulkhead.api.parse import parse_workspace
from bulkhead.errors import KubeError
from bulkhead.plan.audit import Look, Mark, Seen, judge_audit
from bulkhead.plan.findings import condition_of
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent
from bulkhead_wire.audit_chain import Broken, Reason, Verifier

if TYPE_CHECKING:
    from collections.abc import Callable

    from bulkhead.api.parse import ParsedWorkspace
    from bulkhead.api.status import AuditStatus
    from bulkhead.engine.activity import ActivitySource
    from bulkhead.engine.clock import Clock
    from bulkhead.engine.door import Door
    from bulkhead.engine.report import Reporter
    from bulkhead.kube.client import KubeClient
    from bulkhead.telemetry.metrics import Metrics
    from bulkhead_wire.keys import VerifyKey

__all__ = ["INTERVAL_SECONDS", "AuditAnchor"]

INTERVAL_SECONDS: Final = 30.0
_AT_ONCE: Final = 16
_PAGE: Final = 500
_PAGES: Final = 20  # a look: 10,000 records; the rest is for the next one
_LARGEST_PAGE: Final = 8 * 1024 * 1024
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_OK: Final = 200
# A call's first record is durable before the call is served; a long one may have begun before the anchor.
_SLACK_SECONDS: Final = 5.0


class _End(NamedTuple):
    """Where a gateway says that its log ends."""

    mark: Mark
    kid: str
    is_intact: bool  # False: its file was changed under it, as far as the gateway itself knows


class AuditAnchor:
    """Keeps between rounds only how often a gateway was silent."""

    def __init__(
        self,
        client: KubeClient,
        door: Door,
        activity: ActivitySource,
        reporter: Reporter,
        *,
        clock: Clock,
        cluster_domain: str,
        random: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._client = client
        self._door = door
        self._activity = activity
        self._reporter = reporter
        self._clock = clock
        self._domain = cluster_domain
        self._random = random
        self._metrics = metrics
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._misses: Counter[str] = Counter()

    async def run(self) -> None:
        """Round after round, for ever."""
        while True:
            try:
                await self.round()
            except KubeError as error:
                logs.warning(LogEvent.AUDIT_NOT_CHECKED, error=str(error))
            await asyncio.sleep(INTERVAL_SECONDS * (0.9 + 0.2 * self._random()))

    async def round(self) -> None:
        """One look at every gateway that serves."""
        workspaces = [parse_workspace(each) for each in await self._client.list(names.WORKSPACE_KIND)]
        serving = [each for each in workspaces if _serves(each)]
        there = {each.uid for each in workspaces}
        self._misses = Counter({uid: count for uid, count in self._misses.items() if uid in there})
        await asyncio.gather(*map(self._one, serving))

    async def _one(self, workspace: ParsedWorkspace) -> None:
        async with self._slots:
            look = await self._look(workspace)
        self._misses[workspace.uid] = look.misses
        self._metrics.audit_checks.labels(look.seen.name.lower()).inc()
        verdict = judge_audit(
            workspace.status,
            look,
            accepted=workspace.annotations.get(names.ACCEPT_AUDIT_ANNOTATION, ""),
            generation=workspace.generation,
            now=self._clock.now(),
        )
        try:
            await self._reporter.audit(workspace, verdict.status)
        except KubeError as error:  # the next round looks again, from the same anchor
            logs.warning(LogEvent.AUDIT_NOT_CHECKED, workspace=workspace.name, error=str(error))
            return
        self._reporter.events(workspace, verdict.events)

    async def _look(self, workspace: ParsedWorkspace) -> Look:
        host = f"{names.GATEWAY}.{names.namespace(workspace.name, workspace.uid)}.svc.{self._domain}"
        anchor = workspace.status.audit
        end = await self._end(workspace.uid, host)
        key = await self._door.gateway_key(workspace.uid)
        if end is None or key is None:
            why = "its audit log's end is not known" if key is not None else "its key cannot be read"
            return Look(seen=Seen.UNREACHABLE, misses=self._misses[workspace.uid] + 1, detail=why)
        look = Look(seen=Seen.SAME, last=end.mark, key_id=key.kid)
        if (wrong := _misfit(end, key, anchor)) is not None:
            return replace(look, seen=wrong[0], detail=wrong[1])
        if anchor is None or end.mark.seq > anchor.seq:
            return await self._follow(workspace, host, key, anchor, look)
        return replace(look, has_served=await self._has_served(workspace, host, anchor))

    async def _end(self, uid: str, host: str) -> _End | None:
        reply = await self._door.ask(uid, host, "/internal/v1/audit/head")
        said = reply.json() if reply is not None and reply.status == _OK else None
        if not isinstance(said, dict):
            return None
        seq, head, kid = said.get("seq"), said.get("head"), said.get("kid")
        if type(seq) is not int or seq < 0 or not isinstance(head, str) or not isinstance(kid, str):
            return None
        return _End(Mark(seq, head), kid, said.get("intact") is True) if _HASH.fullmatch(head) else None

    async def _follow(
        self, workspace: ParsedWorkspace, host: str, key: VerifyKey, anchor: AuditStatus | None, look: Look
    ) -> Look:
        """Every record after the anchor, or from the first on, as far as one look goes."""
        uid = workspace.uid
        verifier = (
            Verifier(workspace_uid=uid, key=key)
            if anchor is None
            else Verifier(workspace_uid=uid, key=key, next_seq=anchor.seq + 1, prev=anchor.head)
        )
        try:
            for _ in range(_PAGES):
                lines = await self._page(uid, host, verifier.seq)
                if lines is None:
                    break
                for line in lines:
                    verifier.feed(line)
                if len(lines) < _PAGE:
                    break
        except Broken as broken:
            at_anchor = anchor is not None and broken.seq == anchor.seq + 1
            forked = at_anchor and broken.reason in {Reason.CHAIN, Reason.SEQUENCE}
            return replace(look, seen=Seen.FORKED if forked else Seen.BROKEN, detail=str(broken))
        if verifier.head is None or verifier.seq < (0 if anchor is None else anchor.seq + 1):
            misses = self._misses[uid] + 1
            return Look(seen=Seen.UNREACHABLE, misses=misses, detail="its records were not told")
        return replace(look, seen=Seen.GROWN, last=Mark(verifier.seq, verifier.head))

    async def _page(self, uid: str, host: str, after: int) -> list[bytes] | None:
        since = f"&after_seq={after}" if after >= 0 else ""
        path = f"/internal/v1/audit/records?limit={_PAGE}{since}"
        reply = await self._door.ask(uid, host, path, largest=_LARGEST_PAGE)
        return reply.body.splitlines(keepends=True) if reply is not None and reply.status == _OK else None

    async def _has_served(self, workspace: ParsedWorkspace, host: str, anchor: AuditStatus) -> bool:
        """Whether a session was served after the anchor was seen, which its log must have told."""
        known = await self._activity.ask(workspace.uid, host)
        if known is None or known.last_session_at is None:
            return False
        return (known.last_session_at - anchor.checked_at).total_seconds() > _SLACK_SECONDS


def _misfit(end: _End, key: VerifyKey, anchor: AuditStatus | None) -> tuple[Seen, str] | None:
    """What the end alone shows to be wrong."""
    if end.kid != key.kid:
        return Seen.FORKED, f"it is signed by key {end.kid}, not {key.kid}"
    if anchor is not None and end.mark.seq < anchor.seq:
        return Seen.REGRESSED, f"records {end.mark.seq + 1} to {anchor.seq} are gone"
    if not end.is_intact:
        return Seen.BROKEN, "its file was changed under the gateway"
    if anchor is not None and end.mark.seq == anchor.seq and end.mark.head != anchor.head:
        return Seen.FORKED, f"record {anchor.seq} is another one"
    return None


def _serves(workspace: ParsedWorkspace) -> bool:
    if workspace.deletion_timestamp is not None:
        return False
    ready = condition_of(workspace.status, ConditionType.GATEWAY_READY)
    return ready is not None and ready.status is ConditionStatus.TRUE
