"""One reconcile of one workspace: gather, render, plan, execute, judge. It can be repeated at any line."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.api.effective import Effective, resolve
from bulkhead.api.parse import choose_class, parse_workspace
from bulkhead.api.violation import Violation
from bulkhead.engine.class_use import class_choice
from bulkhead.engine.execute import Executor
from bulkhead.engine.expire import ASK_AGAIN_SECONDS, expired_refused
from bulkhead.engine.facts import DOUBTED_SECONDS
from bulkhead.engine.gather import delivered_keys, kept_values, secret_sources, service_ips, with_written
from bulkhead.engine.revocation import REVOKED_AGAIN_SECONDS
from bulkhead.engine.teardown import tear_down
from bulkhead.errors import BulkheadError, KubeError
from bulkhead.plan.actions import Delete, Plan
from bulkhead.plan.events import expired
from bulkhead.plan.expiry import next_change
from bulkhead.plan.ownership import namespace_is_ours
from bulkhead.plan.placement import placement_problem
from bulkhead.plan.planner import plan
from bulkhead.plan.refusal import judge_bug, judge_refused
from bulkhead.plan.verdict import accept, judge
from bulkhead.render.render import render
from bulkhead.render.secrets import copied_secret
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from bulkhead.api.parse import ParsedWorkspace
    from bulkhead.engine.class_use import ClassUse, LiveClass
    from bulkhead.engine.classes import ClassReconciler
    from bulkhead.engine.clock import Clock
    from bulkhead.engine.deadlines import Deadlines
    from bulkhead.engine.door import Door
    from bulkhead.engine.echoes import Echoes
    from bulkhead.engine.expire import Expirer, Expiry
    from bulkhead.engine.facts import FactsSource
    from bulkhead.engine.fleet import Fleet
    from bulkhead.engine.gather import Gatherer
    from bulkhead.engine.keys import PublicKeys, SigningKeys
    from bulkhead.engine.report import Reporter
    from bulkhead.engine.revocation import Revocations
    from bulkhead.kube.client import KubeClient
    from bulkhead.plan.actions import Action
    from bulkhead.plan.facts import ClusterFacts
    from bulkhead.plan.observed import Observed
    from bulkhead.plan.verdict import Verdict
    from bulkhead.render.context import RenderContext
    from bulkhead.render.rendered import Rendered
    from bulkhead.telemetry.metrics import Metrics

__all__ = ["Parts", "Reconciler"]

# Up: the objects, then what needed their Services' addresses. More rounds mean that a write did not take.
_ROUNDS: Final = 4
_NOT_CONVERGING_SECONDS: Final = 30.0
_KEYS_AGAIN_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a reconcile works with; made once by main."""

    client: KubeClient
    clock: Clock
    gatherer: Gatherer
    keys: SigningKeys
    facts: FactsSource
    classes: ClassReconciler
    use: ClassUse
    expirer: Expirer
    door: Door
    revocations: Revocations
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
        since = parts.use.stamp()
        live, classes = await asyncio.gather(parts.gatherer.workspace(key), parts.gatherer.classes())
        if live is None:
            parts.fleet.forget(key)
            parts.deadlines.set(key, None)
            return None
        parts.fleet.see(live)
        workspace = parse_workspace(live)
        try:
            return await self._advance(workspace, classes, since)
        except BulkheadError:
            raise
        except Exception as error:  # a bug: its user sees no log, so it stands on the object as well
            with contextlib.suppress(BulkheadError):
                await self._own_up(workspace, error)
            raise

    async def _advance(
        self, workspace: ParsedWorkspace, classes: Mapping[str, LiveClass], since: int
    ) -> float | None:
        parts = self._parts
        if workspace.deletion_timestamp is not None:
            parts.deadlines.set(workspace.name, None)
            return await tear_down(parts, workspace, self._executor())
        resolved = self._resolve(workspace, classes)
        if not isinstance(resolved, Effective):
            return await self._refuse(workspace, resolved, classes)
        expiry = await parts.expirer.check(workspace, resolved, parts.clock.now())
        if expiry.due is not None:
            await parts.expirer.delete(workspace)
            parts.reporter.events(workspace, [expired(expiry.due)])
            self._note_expiry(expiry.due.at)
            return 0.0  # the teardown begins with what the API server says now
        workspace = await self._accept(workspace, resolved, classes[resolved.class_name], since)
        return await self._keep(workspace, resolved, expiry)

    def _executor(self) -> Executor:
        return Executor(self._parts.client, self._parts.clock, self._parts.echoes)

    def _resolve(
        self, workspace: ParsedWorkspace, classes: Mapping[str, LiveClass]
    ) -> Effective | Sequence[Violation]:
        if isinstance(workspace.spec, tuple):
            return workspace.spec
        choice = class_choice(workspace, workspace.spec.class_name, classes)
        if isinstance(choice, Violation):
            return (choice,)
        chosen = choose_class(workspace.spec.class_name, choice)
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

    async def _own_up(self, workspace: ParsedWorkspace, error: Exception) -> None:
        """Only the error's kind: its words could quote anything."""
        now = self._parts.clock.now()
        await self._report(
            workspace,
            judge_bug(
                type(error).__name__, previous=workspace.status, generation=workspace.generation, now=now
            ),
        )

    async def _refuse(
        self,
        workspace: ParsedWorkspace,
        violations: Sequence[Violation],
        classes: Mapping[str, LiveClass],
    ) -> float | None:
        """Say so and touch nothing; what runs already keeps its last good deadline."""
        parts = self._parts
        now = parts.clock.now()
        end = workspace.status.expires_at if workspace.status.namespace else None
        if end is not None:
            parsed = {name: cls.parsed for name, cls in classes.items()}
            if (due := await parts.expirer.check_refused(workspace, parsed, now)) is not None:
                await parts.expirer.delete(workspace)
                parts.reporter.events(workspace, [expired_refused(end)])
                self._note_expiry(due)
                return 0.0
        verdict = judge_refused(
            violations, previous=workspace.status, generation=workspace.generation, now=now
        )
        await self._report(workspace, verdict)
        parts.deadlines.set(workspace.name, end if end is not None and end > now else None)
        return ASK_AGAIN_SECONDS if end is not None and end <= now else None

    async def _keep(self, workspace: ParsedWorkspace, effective: Effective, expiry: Expiry) -> float | None:
        """Bring up, repair, prune."""
        parts = self._parts
        (observed, keys), sources, cluster = await asyncio.gather(
            parts.gatherer.observe(workspace),
            parts.gatherer.secrets(wanted := secret_sources(effective)),
            self._cluster(effective),
        )
        if expiry.heard is not None:
            heard = max(expiry.heard, observed.last_activity or expiry.heard)
            observed = replace(observed, last_activity=heard)
        keys, keys_again = await self._turn_keys(workspace, effective, observed, keys)
        observed = replace(observed, missing_secret_sources=sources.missing, cluster=cluster)
        values = kept_values(sources, observed, wanted, effective.uid)
        context = replace(
            parts.base,
            jwks=keys.jwks if keys is not None else "",
            gateway_seed=keys.gateway_seed if keys is not None else None,
            model_key=values.get(names.MODEL_KEY_SECRET),
            secret_values={
                source.name: values[copied_secret(source.name)]
                for source in effective.secrets
                if copied_secret(source.name) in values
            },
        )
        turn, unrevoked = await asyncio.gather(
            self._rounds(workspace, effective, observed, context),
            parts.revocations.push(effective.uid, effective.session_epoch, observed.pods),
        )
        turn.observed = replace(turn.observed, unrevoked=unrevoked)
        now = parts.clock.now()
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
        again = self._again_seconds(effective, turn, verdict, expiry, now)
        return min((each for each in (again, keys_again) if each is not None), default=None)

    async def _cluster(self, effective: Effective) -> ClusterFacts | None:
        """What the cluster can run; that it cannot is only believed of what was read just now."""
        facts = await self._parts.facts.current()
        if placement_problem(effective, facts) is None:
            return facts
        return await self._parts.facts.current(within_seconds=DOUBTED_SECONDS)

    async def _turn_keys(
        self, workspace: ParsedWorkspace, effective: Effective, observed: Observed, keys: PublicKeys | None
    ) -> tuple[PublicKeys | None, float | None]:
        """The keys as they shall be now, and when the next step of their exchange is due."""
        if observed.namespace is not None and not namespace_is_ours(observed, effective.uid):
            return keys, None
        requested = workspace.annotations.get(names.ROTATE_KEY_ANNOTATION, "")
        signing, now = self._parts.keys, self._parts.clock.now()
        if keys is None:
            made = await signing.make(workspace.name, workspace.uid, requested=requested, now=now)
            return made, None
        delivered = delivered_keys(observed)
        try:
            return await signing.turn(
                workspace.name, workspace.uid, keys, requested=requested, delivered=delivered, now=now
            )
        except KubeError as error:  # an old key does no harm today; what is not repaired may
            logs.warning(LogEvent.KEY_NOT_EXCHANGED, error=str(error))
            return keys, _KEYS_AGAIN_SECONDS

    async def _accept(
        self, workspace: ParsedWorkspace, effective: Effective, cls: LiveClass, since: int
    ) -> ParsedWorkspace:
        """Ready=Unknown for a new generation, then our finalizers, before anything else is written."""
        parts = self._parts
        verdict = accept(effective, workspace.status, parts.clock.now())
        if verdict is not None:
            live = await parts.reporter.status(workspace, verdict.status)
            parts.reporter.events(workspace, verdict.events)
            workspace = parse_workspace(live) if live is not None else workspace
        if names.FINALIZER in workspace.finalizers:
            return workspace
        with parts.use.entering(cls.parsed.name, since):
            await parts.classes.hold(cls)
            live = await parts.client.set_finalizers(
                names.WORKSPACE_KIND,
                workspace.name,
                [*workspace.finalizers, names.FINALIZER],
                resource_version=workspace.resource_version,
            )
            parts.fleet.see(live)
        parts.echoes.remember(live)
        return parse_workspace(live)

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
            cluster=before.cluster,
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
        if turn.observed.unrevoked:
            seconds.append(REVOKED_AGAIN_SECONDS)
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
