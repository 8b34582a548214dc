"""One reconcile of one workspace: gather, render, plan, execute, judge. It can be repeated at any line."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.api.effective import Effective, resolve
from bulkhead.api.parse import choose_class, parse_workspace
from bulkhead.api.violation import Violation
from bulkhead.engine.execute import Executor
from bulkhead.engine.expire import ASK_AGAIN_SECONDS
from bulkhead.engine.gather import service_ips, with_written
from bulkhead.engine.teardown import tear_down
from bulkhead.plan.actions import Delete, Plan
from bulkhead.plan.events import expired
from bulkhead.plan.expiry import next_change
from bulkhead.plan.ownership import namespace_is_ours
from bulkhead.plan.planner import plan
from bulkhead.plan.refusal import judge_refused
from bulkhead.plan.verdict import accept, judge
from bulkhead.render.render import render
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from bulkhead.api.parse import ParsedClass, ParsedWorkspace
    from bulkhead.engine.clock import Clock
    from bulkhead.engine.deadlines import Deadlines
    from bulkhead.engine.echoes import Echoes
    from bulkhead.engine.expire import Expirer, Expiry
    from bulkhead.engine.fleet import Fleet
    from bulkhead.engine.gather import Gatherer, SecretSources
    from bulkhead.engine.keys import PublicKeys, SigningKeys
    from bulkhead.engine.report import Reporter
    from bulkhead.errors import KubeError
    from bulkhead.kube.client import KubeClient
    from bulkhead.plan.actions import Action
    from bulkhead.plan.observed import Observed
    from bulkhead.plan.verdict import Verdict
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Rendered
    from bulkhead.telemetry.metrics import Metrics

__all__ = ["Parts", "Reconciler"]

# Up: the objects, then what needed their Services' addresses. More rounds mean that a write did not take.
_ROUNDS: Final = 4
_NOT_CONVERGING_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a reconcile works with; made once by main."""

    client: KubeClient
    clock: Clock
    gatherer: Gatherer
    keys: SigningKeys
    expirer: Expirer
    reporter: Reporter
    echoes: Echoes
    deadlines: Deadlines
    fleet: Fleet
    metrics: Metrics
    base: RenderContext  # what is the same for every workspace


@dataclass(slots=True)
class _Turn:
    """Where the rounds of one reconcile have got to."""

    desired: Rendered
    plan: Plan
    observed: Observed
    repaired: list[Action] = field(default_factory=list)
    writes: int = 0
    failure: KubeError | None = None


class Reconciler:
    """Knows no other workspace and keeps nothing between calls."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def reconcile(self, key: str) -> float | None:
        """Bring the workspace nearer to its spec; seconds until it wants to be called again by itself."""
        parts = self._parts
        live, classes = await asyncio.gather(parts.gatherer.workspace(key), parts.gatherer.classes())
        if live is None:
            parts.fleet.forget(key)
            parts.deadlines.set(key, None)
            return None
        parts.fleet.see(live)
        workspace = parse_workspace(live)
        if workspace.deletion_timestamp is not None:
            parts.deadlines.set(key, None)
            return await tear_down(parts, workspace, self._executor())
        resolved = self._resolve(workspace, classes)
        if not isinstance(resolved, Effective):
            return await self._refuse(workspace, resolved)
        expiry = await parts.expirer.check(workspace, resolved, parts.clock.now())
        if expiry.due is not None:
            await parts.expirer.delete(workspace)
            parts.reporter.events(workspace, [expired(expiry.due)])
            self._note_expiry(expiry.due.at)
            return 0.0  # the teardown begins with what the API server says now
        return await self._keep(workspace, resolved, expiry)

    def _executor(self) -> Executor:
        return Executor(self._parts.client, self._parts.clock, self._parts.echoes)

    def _resolve(
        self, workspace: ParsedWorkspace, classes: Mapping[str, ParsedClass]
    ) -> Effective | Sequence[Violation]:
        if isinstance(workspace.spec, tuple):
            return workspace.spec
        chosen = choose_class(workspace.spec.class_name, classes)
        if isinstance(chosen, Violation):
            return (chosen,)
        cls_name, cls_spec = chosen
        return resolve(
            name=workspace.name,
            uid=workspace.uid,
            generation=workspace.generation,
            created_at=workspace.created_at,
            spec=workspace.spec,
            cls_name=cls_name,
            cls_spec=cls_spec,
            sandbox_image=self._parts.base.sandbox_image,
        )

    async def _refuse(self, workspace: ParsedWorkspace, violations: Sequence[Violation]) -> float | None:
        """Say so and touch nothing; what runs already keeps its last good deadline."""
        parts = self._parts
        now = parts.clock.now()
        end = workspace.status.expires_at if workspace.status.namespace else None
        if end is not None and await parts.expirer.check_refused(workspace, now):
            await parts.expirer.delete(workspace)
            self._note_expiry(end)
            return 0.0
        verdict = judge_refused(
            violations, previous=workspace.status, generation=workspace.generation, now=now
        )
        await self._report(workspace, verdict)
        parts.deadlines.set(workspace.name, end if end is not None and end > now else None)
        return ASK_AGAIN_SECONDS if end is not None and end <= now else None

    async def _keep(self, workspace: ParsedWorkspace, effective: Effective, expiry: Expiry) -> float | None:
        """Bring up, repair, prune."""
        workspace = await self._accept(workspace, effective)
        (observed, keys), sources = await asyncio.gather(
            self._parts.gatherer.observe(workspace), self._parts.gatherer.secrets(effective.secrets)
        )
        if expiry.heard is not None:
            heard = max(expiry.heard, observed.last_activity or expiry.heard)
            observed = replace(observed, last_activity=heard)
        ours = observed.namespace is None or namespace_is_ours(observed, effective.uid)
        if keys is None and ours:
            keys = await self._parts.keys.make(workspace.name, workspace.uid)
        observed = replace(observed, missing_secret_sources=sources.missing)
        turn = await self._rounds(workspace, effective, observed, self._context(keys, sources))
        now = self._parts.clock.now()
        verdict = judge(
            effective,
            turn.desired,
            turn.observed,
            previous=workspace.status,
            done=Plan(waves=(tuple(turn.repaired),)),
            failure=turn.failure,
            now=now,
        )
        wrote = await self._report(workspace, verdict)
        self._note(workspace, turn, verdict, wrote_status=wrote)
        if turn.failure is not None:
            raise turn.failure
        return self._again_seconds(effective, turn, verdict, expiry, now)

    async def _accept(self, workspace: ParsedWorkspace, effective: Effective) -> ParsedWorkspace:
        """Ready=Unknown for a new generation, then our finalizer, before anything else is written."""
        verdict = accept(effective, workspace.status, self._parts.clock.now())
        if verdict is not None:
            live = await self._parts.reporter.status(workspace, verdict.status)
            self._parts.reporter.events(workspace, verdict.events)
            workspace = parse_workspace(live) if live is not None else workspace
        if names.FINALIZER in workspace.finalizers:
            return workspace
        live = await self._parts.client.set_finalizers(
            names.WORKSPACE_KIND,
            workspace.name,
            [*workspace.finalizers, names.FINALIZER],
            resource_version=workspace.resource_version,
        )
        self._parts.echoes.remember(live)
        return parse_workspace(live)

    def _context(self, keys: PublicKeys | None, sources: SecretSources) -> RenderContext:
        return replace(
            self._parts.base, jwks=keys.jwks if keys is not None else "", secret_values=sources.values
        )

    async def _rounds(
        self, workspace: ParsedWorkspace, effective: Effective, observed: Observed, context: RenderContext
    ) -> _Turn:
        """Write until nothing is left to write, as long as only our own writes are waited for."""
        executor = self._executor()
        turn = self._turn(effective, observed, context)
        for _ in range(_ROUNDS):
            if turn.plan.empty:
                break
            executed = await executor.execute(turn.plan, turn.observed)
            observed = with_written(turn.observed, executed.written)
            turn.repaired += executed.repaired
            turn.writes += executed.writes
            if executed.error is not None:
                turn.observed, turn.failure = observed, executed.error
                break
            # What was deleted may linger by its finalizers: only the API server knows.
            if executed.deleted:
                observed = await self._again(workspace, observed)
            after = self._turn(effective, observed, context)
            turn.desired, turn.plan, turn.observed = after.desired, after.plan, after.observed
        return turn

    def _turn(self, effective: Effective, observed: Observed, context: RenderContext) -> _Turn:
        desired = render(effective, replace(context, service_ips=service_ips(observed)))
        return _Turn(desired, plan(desired, observed, effective, self._parts.clock.now()), observed)

    async def _again(self, workspace: ParsedWorkspace, before: Observed) -> Observed:
        observed, _keys = await self._parts.gatherer.observe(workspace)
        return replace(
            observed,
            missing_secret_sources=before.missing_secret_sources,
            last_activity=before.last_activity,
        )

    async def _report(self, workspace: ParsedWorkspace, verdict: Verdict) -> bool:
        live = await self._parts.reporter.status(workspace, verdict.status)
        self._parts.reporter.events(workspace, verdict.events)
        if live is not None:
            self._parts.fleet.see(live)
        return live is not None

    def _again_seconds(
        self, effective: Effective, turn: _Turn, verdict: Verdict, expiry: Expiry, now: datetime
    ) -> float | None:
        """When to come back without being told; deadlines of the wall clock are the heap's business."""
        change = next_change(effective, last_activity=verdict.status.last_activity, now=now)
        until_change = float("inf") if change is None else (change - now).total_seconds()
        self._parts.deadlines.set(effective.name, None if expiry.ask_again else change)
        wishes = [turn.plan.requeue_after_seconds, verdict.requeue_after_seconds]
        # The plan's wish may be that same change: coming at it from two clocks would be one time too many.
        seconds = [wish for wish in wishes if wish is not None and wish < until_change - 1.0]
        if expiry.ask_again:
            seconds.append(ASK_AGAIN_SECONDS)
        if not turn.plan.empty:
            seconds.append(_NOT_CONVERGING_SECONDS)
        return min(seconds, default=None)

    def _note_expiry(self, due: datetime) -> None:
        lag = max(0.0, (self._parts.clock.now() - due).total_seconds())
        self._parts.metrics.ttl_lag.observe(lag)
        logs.info(LogEvent.WORKSPACE_EXPIRED, due=due, lag_seconds=round(lag, 3))

    def _note(self, workspace: ParsedWorkspace, turn: _Turn, verdict: Verdict, *, wrote_status: bool) -> None:
        for action in turn.repaired:
            name = action.name if isinstance(action, Delete) else action.manifest["metadata"]["name"]
            kind = action.kind if isinstance(action, Delete) else action.manifest["kind"]
            self._parts.metrics.drift_repaired.labels(kind).inc()
            logs.info(LogEvent.DRIFT_REPAIRED, kind=kind, name=name)
        if turn.writes or wrote_status:
            phase = verdict.status.phase
            logs.info(
                LogEvent.WORKSPACE_CHANGED, phase=phase, writes=turn.writes, waiting=turn.plan.waiting_for
            )
        if not turn.plan.empty and turn.failure is None:
            logs.warning(LogEvent.NOT_CONVERGING, left=sum(map(len, turn.plan.waves)))
        if verdict.status.phase == "Ready" and workspace.status.phase in {"", "Provisioning"}:
            seconds = (self._parts.clock.now() - workspace.created_at).total_seconds()
            self._parts.metrics.ready_latency.observe(max(0.0, seconds))
