"""A whole engine over the in-memory API server, on a clock that costs nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from support.clocks import LoopClock
from support.fake_api import FakeApi
from support.store import DELETED_AT

from bulkhead import names
from bulkhead.engine.class_use import ClassUse
from bulkhead.engine.classes import ClassReconciler
from bulkhead.engine.deadlines import Deadlines, TokenBucket
from bulkhead.engine.door import Reply
from bulkhead.engine.echoes import Echoes
from bulkhead.engine.expire import Expirer
from bulkhead.engine.facts import FactsSource
from bulkhead.engine.fleet import Fleet
from bulkhead.engine.gather import Gatherer
from bulkhead.engine.keys import SigningKeys
from bulkhead.engine.reconcile import Parts, Reconciler
from bulkhead.engine.report import Reporter
from bulkhead.engine.revocation import Revocations
from bulkhead.render.context import RenderContext
from bulkhead.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from bulkhead.engine.activity import Activity
    from bulkhead.kube.client import KubeClient
    from bulkhead.kube.events import Happening
    from bulkhead_wire.keys import VerifyKey

OPERATOR_NAMESPACE = "bulkhead-system"
KEY_AGE_SECONDS = 720 * 3600.0


@dataclass
class FakeActivity:
    """What gateways answer."""

    answer: Activity | None = None
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def ask(self, uid: str, cluster_ip: str) -> Activity | None:
        self.asked.append((uid, cluster_ip))
        return self.answer


@dataclass
class FakeDoor:
    """Gateways that do as they are told, but for those at the addresses of `deaf`."""

    deaf: set[str] = field(default_factory=set)
    epochs: list[tuple[str, int]] = field(default_factory=list)
    erased: list[str] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)

    def forget(self, uid: str) -> None:
        self.forgotten.append(uid)

    async def gateway_key(self, _uid: str) -> VerifyKey | None:
        raise AssertionError("no reconcile looks at audit logs")

    async def ask(self, _uid: str, host: str, path: str, **request: Any) -> Reply | None:
        assert request["method"] == "POST"
        if host in self.deaf:
            return None
        if path == "/internal/v1/erase":
            self.erased.append(host)
            return Reply(200, b'{"users":1}')
        assert path == "/internal/v1/epoch"
        self.epochs.append((host, request["body"]["epoch"]))
        return Reply(200, json.dumps(request["body"]).encode())


class Engine:
    """Everything but watches, queue and Lease."""

    def __init__(self) -> None:
        self.clock = LoopClock(datetime.fromisoformat(DELETED_AT))  # the store's controllers have one time
        self.api = FakeApi(self.clock)
        self.activity, self.door = FakeActivity(), FakeDoor()
        self.told: list[Happening] = []
        self.woken: list[str] = []
        self.metrics = Metrics("test")
        self.deadlines = Deadlines(self.clock, self.woken.append, TokenBucket(1000, 1000, self.clock))
        self.echoes, self.fleet = Echoes(), Fleet()
        client = cast("KubeClient", self.api)
        keys = SigningKeys(client, OPERATOR_NAMESPACE, max_age_seconds=KEY_AGE_SECONDS)
        facts, use = FactsSource(client, self.clock), ClassUse()
        reporter = Reporter(client, self.echoes, self.told.append)
        self.fleet.complete = True
        self.parts = Parts(
            client=client,
            clock=self.clock,
            gatherer=Gatherer(client, keys, operator_namespace=OPERATOR_NAMESPACE),
            keys=keys,
            facts=facts,
            classes=ClassReconciler(
                client=client,
                clock=self.clock,
                fleet=self.fleet,
                facts=facts,
                reporter=reporter,
                echoes=self.echoes,
                use=use,
            ),
            use=use,
            expirer=Expirer(client, self.activity),
            door=self.door,
            revocations=Revocations(self.door),
            reporter=reporter,
            echoes=self.echoes,
            deadlines=self.deadlines,
            fleet=self.fleet,
            metrics=self.metrics,
            base=RenderContext(
                operator_namespace=OPERATOR_NAMESPACE,
                operator_service_account="bulkhead-operator",
                sandbox_image="bulkhead/sandbox:test",
            ),
        )
        self.reconciler = Reconciler(self.parts)

    async def reconcile(self, name: str = "acme") -> float | None:
        return await self.reconciler.reconcile(name)

    async def settle(self, name: str = "acme") -> None:
        """Reconcile and let the controllers act until the workspace is Ready."""
        for _ in range(10):
            await self.reconcile(name)
            if self.api.condition(name, "Ready")[0] == "True":
                return
            self.api.store.tick()
        raise AssertionError(self.api.workspace(name)["status"])

    def namespace(self, name: str = "acme") -> str:
        return names.namespace(name, self.api.workspace(name)["metadata"]["uid"])

    def reasons(self) -> list[str]:
        return [happening.reason for happening in self.told]


@pytest.fixture
def engine() -> Engine:
    """With a default class and no workspace."""
    return Engine()
