"""Rounds of gather, render, plan and execute against the store, as the engine would run them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.builders import CREATED, context
from support.store import OPERATOR_NAMESPACE, Store

from bulkhead import names
from bulkhead.plan.planner import plan
from bulkhead.plan.teardown import teardown
from bulkhead.render import render

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective
    from bulkhead.plan.actions import Plan
    from bulkhead.plan.observed import Observed
    from bulkhead.render import Rendered

MANY = 60  # rounds after which something goes in circles


def namespace(spec: Effective) -> str:
    """The workspace's namespace."""
    return names.namespace(spec.name, spec.uid)


def gathered(store: Store, spec: Effective, **fields: Any) -> tuple[Rendered, Observed]:
    """What a round would see: addresses come from the live Services."""
    observed = store.observed(namespace(spec), spec.uid, **fields)
    ips = {key.name: o["spec"]["clusterIP"] for key, o in observed.objects.items() if key.kind == "Service"}
    return render(spec, context(spec, service_ips=ips)), observed


def one_round(store: Store, spec: Effective, **fields: Any) -> Plan:
    """Gather, render, plan, execute."""
    desired, observed = gathered(store, spec, **fields)
    made = plan(desired, observed, spec, CREATED)
    store.execute(made)
    return made


def converge(store: Store, spec: Effective) -> int:
    """Rounds until a plan is empty and nothing is awaited."""
    for rounds in range(MANY):
        made = one_round(store, spec)
        if made.empty and not made.waiting_for:
            return rounds
        store.tick()
    raise AssertionError(f"still not converged after {MANY} rounds")


def tear_down(store: Store, spec: Effective) -> list[Plan]:
    """Teardown rounds until it says finished."""
    plans: list[Plan] = []
    while not plans or not plans[-1].finished:
        assert len(plans) < MANY, f"teardown goes in circles: {plans[-1]}"
        observed = store.observed(namespace(spec), spec.uid)
        plans.append(teardown(spec.name, spec.uid, observed, operator_namespace=OPERATOR_NAMESPACE))
        store.execute(plans[-1])
        store.tick()
    return plans
