"""Carries a deleted workspace down to nothing, then takes the finalizer off; spec and class are not asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bulkhead import names
from bulkhead.engine.erasure import erase_conversations
from bulkhead.plan.refusal import judge_teardown
from bulkhead.plan.teardown import teardown
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from bulkhead.api.parse import ParsedWorkspace
    from bulkhead.engine.execute import Executor
    from bulkhead.engine.reconcile import Parts
    from bulkhead.plan.actions import Plan
    from bulkhead.plan.observed import Observed

__all__ = ["tear_down"]

_ROUNDS: Final = 8  # one a step of the order down, and some
# Pods and namespaces report their end by watch; asking after sixty every 2 s kept the API server busy.
_WATCHED_SECONDS: Final = 5.0


async def tear_down(parts: Parts, workspace: ParsedWorkspace, executor: Executor) -> float | None:
    """As many steps as can be taken now; seconds until the next look, None when nothing is left."""
    if names.FINALIZER not in workspace.finalizers:
        return None  # ours is off already: another's finalizer holds the object, nothing of ours is left
    observed, steps = await _look(parts, workspace)
    if observed.signing_key_uid is not None:  # the first step takes it, and with it the way to ask
        await erase_conversations(parts.door, workspace.uid, observed.pods)
    failure = None
    for _ in range(_ROUNDS):
        if steps.empty:
            break
        failure = (await executor.execute(steps, observed)).error
        if failure is not None:
            break
        observed, steps = await _look(parts, workspace)
    now = parts.clock.now()
    verdict = judge_teardown(
        steps,
        observed,
        previous=workspace.status,
        generation=workspace.generation,
        failure=failure,
        now=now,
    )
    if not steps.finished:
        await parts.reporter.status(workspace, verdict.status)
        parts.reporter.events(workspace, verdict.events)
        if failure is not None:
            raise failure
        return _next_look_seconds(steps)
    await parts.client.set_finalizers(
        names.WORKSPACE_KIND,
        workspace.name,
        [each for each in workspace.finalizers if each != names.FINALIZER],
        resource_version=workspace.resource_version,
    )
    parts.reporter.events(workspace, verdict.events)
    parts.revocations.forget(workspace.uid)
    parts.door.forget(workspace.uid)
    if workspace.deletion_timestamp is not None:
        seconds = max(0.0, (now - workspace.deletion_timestamp).total_seconds())
        parts.metrics.teardown_duration.observe(seconds)
        logs.info(LogEvent.WORKSPACE_TORN_DOWN, seconds=round(seconds, 3))
    return None


async def _look(parts: Parts, workspace: ParsedWorkspace) -> tuple[Observed, Plan]:
    observed, _keys = await parts.gatherer.observe(workspace)
    namespace = parts.base.operator_namespace
    return observed, teardown(workspace.name, workspace.uid, observed, operator_namespace=namespace)


def _next_look_seconds(steps: Plan) -> float | None:
    """The plan's wish, but seldom enough where nothing is left to do but wait for what is watched."""
    wish = steps.requeue_after_seconds
    return wish if wish is None or not steps.empty else max(wish, _WATCHED_SECONDS)
