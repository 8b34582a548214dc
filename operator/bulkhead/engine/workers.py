"""Workers take a key, reconcile it in bounded time, and decide when it comes again.

One key's trouble stays its own.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from bulkhead.engine.classes import class_of_key
from bulkhead.engine.queue import Priority, QueueClosed
from bulkhead.errors import AlreadyExists, BulkheadError, Conflict, NamespaceTerminating
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bulkhead.engine.queue import WorkQueue
    from bulkhead.telemetry.metrics import Metrics

__all__ = ["Workers"]

# Somebody wrote first, or the cluster is in the middle of something: looking again is the whole remedy.
_TRANSIENT: Final = (Conflict, AlreadyExists, NamespaceTerminating)


class Workers:
    """`count` reconciles at a time."""

    def __init__(
        self,
        queue: WorkQueue,
        reconcile: Callable[[str], Awaitable[float | None]],
        *,
        count: int,
        timeout_seconds: float,
        metrics: Metrics,
        new_id: Callable[[], str],
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._count = count
        self._timeout_seconds = timeout_seconds
        self._metrics = metrics
        self._new_id = new_id

    async def run(self) -> None:
        """Work until the queue is closed and what was begun is done."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._work(), name=f"worker-{number}")

    async def _work(self) -> None:
        while True:
            try:
                key = await self._queue.get()
            except QueueClosed:
                return
            try:
                cls = class_of_key(key)
                subject = {"workspace": key} if cls is None else {"class": cls}
                with logs.reconcile_scope(**subject, reconcile=self._new_id()):
                    await self._one(key)
            finally:
                self._queue.done(key)

    async def _one(self, key: str) -> None:
        clock = asyncio.get_running_loop().time
        started = clock()
        result = "error"
        try:
            async with asyncio.timeout(self._timeout_seconds):
                again_seconds = await self._reconcile(key)
            result = "success" if again_seconds is None else "requeue"
            self._queue.forget(key)
            if again_seconds is not None:
                self._queue.add_after(key, again_seconds)
        except _TRANSIENT:
            result = "requeue"
            self._queue.retry(key)
        except TimeoutError:
            result = "timeout"
            self._failed(key, LogEvent.RECONCILE_TIMED_OUT, seconds=self._timeout_seconds)
        except BulkheadError as error:
            self._failed(key, LogEvent.RECONCILE_FAILED, error=str(error))
        except Exception as error:  # noqa: BLE001 - a bug met in one workspace must not stop the others
            self._failed(key, LogEvent.RECONCILE_FAILED, bug=error, error=type(error).__name__)
        finally:
            self._metrics.reconcile_total.labels(result).inc()
            self._metrics.reconcile_duration.observe(clock() - started)

    def _failed(
        self, key: str, event: LogEvent, *, bug: BaseException | None = None, **fields: object
    ) -> None:
        # In the background: what keeps failing must not hold up what people do now.
        seconds = self._queue.retry(key, Priority.BACKGROUND)
        logs.error(event, exception=bug, retry_seconds=round(seconds, 3), **fields)
