"""Builds everything once, waits for the Lease, and runs until a signal or a failure ends it."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import signal
import sys
from contextlib import AsyncExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
import kopf

from bulkhead import duration
from bulkhead.app import endpoints, settings, watches
from bulkhead.app.relevance import Relevance
from bulkhead.app.routing import Router
from bulkhead.engine.activity import GatewayActivity
from bulkhead.engine.anchor import AuditAnchor
from bulkhead.engine.class_use import ClassUse
from bulkhead.engine.classes import ClassReconciler, class_key, class_of_key
from bulkhead.engine.clock import SystemClock
from bulkhead.engine.deadlines import Deadlines, TokenBucket
from bulkhead.engine.door import GatewayDoor
from bulkhead.engine.echoes import Echoes
from bulkhead.engine.expire import Expirer
from bulkhead.engine.facts import FactsSource
from bulkhead.engine.fleet import Fleet
from bulkhead.engine.gather import Gatherer
from bulkhead.engine.issuer_tls import IssuerTls
from bulkhead.engine.keys import SigningKeys
from bulkhead.engine.queue import Priority, WorkQueue
from bulkhead.engine.reconcile import Parts, Reconciler
from bulkhead.engine.report import Reporter
from bulkhead.engine.revocation import Revocations
from bulkhead.engine.spread import Spread
from bulkhead.engine.sweep import Sweeper
from bulkhead.engine.workers import Workers
from bulkhead.errors import BulkheadError, InvalidValue, LeadershipLost
from bulkhead.kube.auth import in_cluster, kubeconfig
from bulkhead.kube.client import KubeClient
from bulkhead.kube.events import EventWriter
from bulkhead.kube.lease import Election, LeaseSettings
from bulkhead.render.context import RenderContext
from bulkhead.telemetry import logs
from bulkhead.telemetry.health import Health
from bulkhead.telemetry.logs import LogEvent
from bulkhead.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bulkhead.app.settings import Settings
    from bulkhead.kube.answers import Call
    from bulkhead.kube.auth import Credentials
    from bulkhead.kube.events import Happening

__all__ = ["main"]

_LEASE: Final = "bulkhead-operator"
_DRAIN_SECONDS: Final = 10.0
# Deletions that fall due together: one every 20 ms in the long run, the first fifty at once.
_EXPIRIES_PER_SECOND, _EXPIRY_BURST = 50.0, 50.0
_CLASS_EDITS_PER_SECOND, _CLASS_EDIT_BURST = 20.0, 20.0
_CLASS_USE_SECONDS = 0.5  # users that come or go together are counted once


def main() -> int:
    """The process: 0 after a signal, 1 after a failure, 2 for settings that cannot work."""
    try:
        chosen = settings.from_environment(os.environ)
        credentials = _credentials(chosen)
    except (InvalidValue, OSError) as error:
        print(f"bulkhead: {error}", file=sys.stderr)  # noqa: T201 - no log is configured yet
        return 2
    logs.configure(chosen.log_level)
    try:
        asyncio.run(Operator(chosen, credentials).run())
    except BulkheadError as error:
        lost = isinstance(error, LeadershipLost)
        logs.error(LogEvent.LEADER_LOST if lost else LogEvent.OPERATOR_FAILED, error=str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - the last line of a process says why it ends
        logs.error(LogEvent.OPERATOR_FAILED, exception=error, error=type(error).__name__)
        return 1
    logs.info(LogEvent.OPERATOR_STOPPED)
    return 0


def _credentials(chosen: Settings) -> Credentials:
    """An explicit kubeconfig, else the pod's service account, else the kubeconfig that kubectl would take."""
    if chosen.kubeconfig is not None:
        return kubeconfig(chosen.kubeconfig)
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return in_cluster()
    return kubeconfig(Path(os.environ.get("KUBECONFIG", "~/.kube/config")).expanduser())


class Operator:
    """One process of the operator, leading or standing by."""

    def __init__(self, chosen: Settings, credentials: Credentials) -> None:
        self._settings = chosen
        self._credentials = credentials
        self._random = random.Random(secrets.randbits(64)).random  # noqa: S311 - jitter
        self._clock = SystemClock()
        self._metrics = Metrics(_version())
        self._stopping, self._stop_watching = asyncio.Event(), asyncio.Event()
        self._ages = watches.WatchAges(self._clock)
        self._started = False
        self._leading = False
        self._queue = WorkQueue(random=self._random, on_add=self._metrics.queue_adds.inc)
        self._fleet, self._echoes = Fleet(self._on_class_use), Echoes()
        # An edited class: twenty of its workspaces a second, the first twenty at once.
        self._spread = Spread(
            self._queue, TokenBucket(_CLASS_EDITS_PER_SECOND, _CLASS_EDIT_BURST, self._clock)
        )
        self._metrics.observe_queue(lambda: len(self._queue), self._queue_oldest_seconds)

    async def run(self) -> None:
        """Serve health, wait for the Lease, work, and leave tidily."""
        self._listen_to_signals()
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                KubeClient(self._credentials, random=self._random, observer=self._observe)
            )
            for runner in await endpoints.serve(
                health_port=self._settings.health_port,
                metrics_port=self._settings.metrics_port,
                health=self._health,
                metrics=self._exposition,
            ):
                stack.push_async_callback(runner.cleanup)
            self._started = True
            logs.info(LogEvent.OPERATOR_STARTED, version=_version(), identity=self._settings.pod_name)
            # A client of its own: renewals must not queue behind the work that they protect.
            election = self._election(
                await stack.enter_async_context(
                    KubeClient(self._credentials, random=self._random, concurrency=2, observer=self._observe)
                )
            )
            if not await self._unless_stopped(election.acquire):
                return
            stack.push_async_callback(election.release)
            self._leading = True
            self._metrics.leader.set(1)
            logs.info(LogEvent.LEADER_ACQUIRED, identity=self._settings.pod_name)
            await self._lead(client, election, stack)

    async def _lead(self, client: KubeClient, election: Election, stack: AsyncExitStack) -> None:
        """Everything that only the holder of the Lease does; the first part that ends, ends all."""
        events = EventWriter(
            client,
            instance=self._settings.pod_name,
            now=self._clock.now,
            new_id=lambda: secrets.token_hex(8),
            on_drop=_dropped,
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        door = GatewayDoor(session, client, self._settings.operator_namespace, clock=self._clock)
        deadlines = Deadlines(
            self._clock,
            self._queue.add,
            TokenBucket(_EXPIRIES_PER_SECOND, _EXPIRY_BURST, self._clock),
        )
        facts = FactsSource(client, self._clock)
        parts = self._parts(client, events, deadlines, door, facts)
        workers = Workers(
            self._queue,
            self._reconcile(parts),
            metrics=self._metrics,
            count=self._settings.workers,
            timeout_seconds=self._settings.reconcile_timeout_seconds,
            new_id=lambda: secrets.token_hex(4),
        )
        sweep = Sweeper(
            client,
            self._queue,
            deadlines,
            self._fleet,
            interval_seconds=self._settings.sweep_seconds,
            random=self._random,
        )
        working = asyncio.create_task(workers.run(), name="workers")
        beside = [
            asyncio.create_task(part, name=name)
            for name, part in (
                ("lease", election.hold()),
                ("events", events.run()),
                ("deadlines", deadlines.run()),
                *([("issuer-tls", self._issuer_tls(client).run())] if self._settings.issuer else []),
                ("spread", self._spread.run()),
                ("audit", self._audit_anchor(client, door, parts.reporter).run()),
                ("sweep", sweep.run()),
                ("stop", self._stopping.wait()),
                ("watches", self._watch(facts)),
            )
        ]
        watching = beside[-1]
        asked_to = await self._until_one_ends([working, *beside])
        logs.info(LogEvent.OPERATOR_STOPPING)
        self._queue.close()
        holding = beside[0]
        if not holding.done():  # without the Lease another may work already: nothing may be finished
            await asyncio.wait([working], timeout=_DRAIN_SECONDS)
            await events.drain(1.0)
        # kopf last: in going it cancels every task that is younger than itself, parts of reconciles too.
        self._stop_watching.set()
        await asyncio.wait([watching], timeout=_DRAIN_SECONDS)
        for task in (working, *beside):
            task.cancel()
        ended = await asyncio.gather(working, *beside, return_exceptions=True)
        for failure in ended:
            if isinstance(failure, Exception):
                raise failure
        if not asked_to:
            raise RuntimeError("a part of the operator ended without being asked to")

    async def _until_one_ends(self, tasks: list[asyncio.Task[object]]) -> bool:
        """Whether it was a signal that ended the wait."""
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        asked_to = self._stopping.is_set()
        self._stopping.set()
        return asked_to

    async def _unless_stopped(self, step: Callable[[], Awaitable[None]]) -> bool:
        """Whether the step was done before a signal came."""
        doing = asyncio.ensure_future(step())
        stopped = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([doing, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in (doing, stopped):
            task.cancel()
        await asyncio.gather(doing, stopped, return_exceptions=True)
        return doing.done() and not doing.cancelled() and doing.exception() is None

    def _audit_anchor(self, client: KubeClient, door: GatewayDoor, reporter: Reporter) -> AuditAnchor:
        return AuditAnchor(
            client,
            door,
            GatewayActivity(door),
            reporter,
            clock=self._clock,
            cluster_domain=self._settings.cluster_domain,
            random=self._random,
            metrics=self._metrics,
        )

    def _issuer_tls(self, client: KubeClient) -> IssuerTls:
        chosen = self._settings
        return IssuerTls(
            client,
            chosen.operator_namespace,
            cluster_domain=chosen.cluster_domain,
            now=self._clock.now,
        )

    async def _watch(self, facts: FactsSource) -> None:
        """Run kopf until it ends; watches that cannot go on end the process, which is started again."""
        self._ages.start()
        router = Router(
            queue=self._queue,
            spread=self._spread,
            fleet=self._fleet,
            facts=facts,
            echoes=self._echoes,
            relevance=Relevance(),
        )
        ready = asyncio.Event()
        watching = kopf.operator(
            registry=watches.registry(router, lambda: watches.session(self._credentials, self._ages)),
            settings=watches.settings(),
            clusterwide=True,
            standalone=True,
            ready_flag=ready,
            stop_flag=self._stop_watching,
        )
        async with asyncio.TaskGroup() as group:
            running = group.create_task(watching, name="kopf")
            listening = group.create_task(self._take_signals_back(ready))
            running.add_done_callback(lambda _: listening.cancel())

    async def _take_signals_back(self, ready: asyncio.Event) -> None:
        """Running kopf takes the signal handlers; a signal must end everything, not the watches alone."""
        await ready.wait()
        self._listen_to_signals()

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)

    @staticmethod
    def _reconcile(parts: Parts) -> Callable[[str], Awaitable[float | None]]:
        """One queue for both kinds: a key says which it is."""
        workspaces = Reconciler(parts)

        async def reconcile(key: str) -> float | None:
            cls = class_of_key(key)
            return await (workspaces.reconcile(key) if cls is None else parts.classes.reconcile(cls))

        return reconcile

    def _on_class_use(self, class_name: str) -> None:
        if self._fleet.complete:
            self._queue.add_after(class_key(class_name), _CLASS_USE_SECONDS, Priority.BACKGROUND)

    def _parts(
        self,
        client: KubeClient,
        events: EventWriter,
        deadlines: Deadlines,
        door: GatewayDoor,
        facts: FactsSource,
    ) -> Parts:
        namespace = self._settings.operator_namespace
        max_age = duration.seconds(self._settings.signing_key_max_age)
        keys = SigningKeys(client, namespace, max_age_seconds=max_age)
        reporter, use = Reporter(client, self._echoes, events.tell), ClassUse()
        return Parts(
            client=client,
            clock=self._clock,
            gatherer=Gatherer(client, keys, operator_namespace=namespace),
            keys=keys,
            facts=facts,
            classes=ClassReconciler(
                client=client,
                clock=self._clock,
                fleet=self._fleet,
                facts=facts,
                reporter=reporter,
                echoes=self._echoes,
                use=use,
            ),
            use=use,
            expirer=Expirer(client, GatewayActivity(door)),
            door=door,
            revocations=Revocations(door),
            reporter=reporter,
            echoes=self._echoes,
            deadlines=deadlines,
            fleet=self._fleet,
            metrics=self._metrics,
            base=_context(self._settings),
        )

    def _election(self, client: KubeClient) -> Election:
        lease = LeaseSettings(
            namespace=self._settings.operator_namespace,
            name=_LEASE,
            identity=self._settings.pod_name,
            duration_seconds=self._settings.lease_duration_seconds,
            renew_seconds=self._settings.lease_renew_seconds,
            retry_seconds=self._settings.lease_retry_seconds,
        )
        return Election(client, lease, now=self._clock.now, random=self._random, on_trouble=_lease_trouble)

    def _observe(self, call: Call, status: int | None, seconds: float) -> None:
        self._metrics.observe_request(call.verb, call.kind, status, seconds)

    def _queue_oldest_seconds(self) -> float:
        return self._queue.oldest_seconds()

    def _health(self) -> Health:
        return Health(
            leading=self._leading,
            started=self._started,
            stopping=self._stopping.is_set(),
            queue_depth=len(self._queue),
            queue_oldest_seconds=self._queue.oldest_seconds(),
            watch_age_seconds=self._ages.seconds(),
        )

    def _exposition(self) -> bytes:
        self._metrics.set_watch_ages(self._ages.seconds())
        self._metrics.set_phases(self._fleet.phases())
        return self._metrics.text()


def _context(chosen: Settings) -> RenderContext:
    return RenderContext(
        operator_namespace=chosen.operator_namespace,
        operator_service_account=chosen.operator_service_account,
        sandbox_image=chosen.sandbox_image,
        image_pull_policy=chosen.image_pull_policy,
        cluster_cidrs=chosen.cluster_cidrs,
        dns_namespace=chosen.dns_namespace,
        dns_pod_labels=chosen.dns_pod_labels,
        cluster_domain=chosen.cluster_domain,
    )


def _dropped(happening: Happening, why: str) -> None:
    logs.warning(
        LogEvent.EVENT_DROPPED, kind=happening.kind, name=happening.name, reason=happening.reason, cause=why
    )


def _lease_trouble(why: str) -> None:
    logs.warning(LogEvent.LEASE_TROUBLE, cause=why)


def _version() -> str:
    try:
        return version("bulkhead-operator")
    except PackageNotFoundError:  # run from a source tree, as the image does
        return "0.1.0"
