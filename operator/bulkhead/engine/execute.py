"""From planned waves to calls: the only writer of workspaces' objects."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, assert_never

from bulkhead import names
from bulkhead.errors import Conflict, Forbidden, KubeError
from bulkhead.plan.actions import Action, Apply, Delete, Replace
from bulkhead.render.rendered import ObjectKey, key_of

if TYPE_CHECKING:
    from bulkhead.engine.clock import Clock
    from bulkhead.engine.echoes import Echoes
    from bulkhead.kube.client import KubeClient
    from bulkhead.plan.actions import Plan
    from bulkhead.plan.observed import Manifest, Observed

__all__ = ["Executed", "Executor"]

# A new RoleBinding works once the authorizer's informer has seen it: usually milliseconds, never seconds.
_GRACE_SECONDS: Final = 5.0
_GRACE_PAUSES_SECONDS: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


@dataclass(slots=True)
class Executed:
    """What was done, also when the rest failed."""

    written: list[Manifest] = field(default_factory=list)  # live objects as the API server returned them
    repaired: list[Action] = field(default_factory=list)  # drift
    deleted: int = 0
    error: KubeError | None = None  # of the wave that failed; later waves were not started

    @property
    def writes(self) -> int:
        """How many objects changed or may have."""
        return len(self.written) + self.deleted


class Executor:
    """Carries out one reconcile's plans; make a new one for each reconcile."""

    def __init__(self, client: KubeClient, clock: Clock, echoes: Echoes) -> None:
        self._client = client
        self._clock = clock
        self._echoes = echoes
        self._grace_until = float("-inf")  # monotonic: until then Forbidden means "not yet"

    async def execute(self, plan: Plan, observed: Observed) -> Executed:
        """Wave after wave, each side by side within; a failure ends it after its own wave."""
        done = Executed()
        for wave in plan.waves:
            results = await asyncio.gather(
                *(self._patiently(action, observed) for action in wave), return_exceptions=True
            )
            for action, result in zip(wave, results, strict=True):
                self._record(done, action, result)
            if done.error is not None:
                break
        return done

    def _record(self, done: Executed, action: Action, result: Manifest | BaseException | None) -> None:
        match result:
            case KubeError():
                done.error = _worse(done.error, result)
            case BaseException():
                raise result  # a bug, or cancellation: not ours to judge
            case None:
                done.deleted += 1
                _note_drift(done, action)
            case live:
                self._echoes.remember(live)
                done.written.append(live)
                _note_drift(done, action)

    async def _patiently(self, action: Action, observed: Observed) -> Manifest | None:
        pauses = iter(_GRACE_PAUSES_SECONDS)
        while True:
            try:
                result = await self._do(action, observed)
            except KubeError as error:
                # Subclasses of Forbidden have causes of their own that time alone does not mend.
                if type(error) is not Forbidden or self._clock.monotonic() >= self._grace_until:
                    raise
                await asyncio.sleep(next(pauses, _GRACE_PAUSES_SECONDS[-1]))
                continue
            if isinstance(action, Apply | Replace) and _is_own_binding(action.manifest):
                self._grace_until = self._clock.monotonic() + _GRACE_SECONDS
            return result

    async def _do(self, action: Action, observed: Observed) -> Manifest | None:
        match action:
            case Apply(manifest=manifest) if manifest["kind"] == "Namespace":
                return await self._namespace(manifest, observed)
            case Apply(manifest=manifest):
                return await self._client.apply(manifest)
            case Replace(manifest=manifest):
                return await self._client.replace(manifest)
            case Delete(kind=kind, name=name, namespace=namespace, uid=uid):
                await self._client.delete(kind, name, namespace, uid=uid)
                return None
            case _:
                assert_never(action)

    async def _namespace(self, manifest: Manifest, observed: Observed) -> Manifest:
        """Create only, or change exactly the one that was seen: an apply by name could adopt a stranger's."""
        if observed.namespace is None:
            return await self._client.create(manifest)
        uid = observed.namespace["metadata"]["uid"]
        return await self._client.apply(manifest | {"metadata": manifest["metadata"] | {"uid": uid}})


def _note_drift(done: Executed, action: Action) -> None:
    if action.drift:
        done.repaired.append(action)


def _is_own_binding(manifest: Manifest) -> bool:
    return key_of(manifest) == ObjectKey("RoleBinding", names.OPERATOR_BINDING)


def _worse(first: KubeError | None, second: KubeError) -> KubeError:
    """Of a wave's errors the one to tell: a conflict only says that somebody was faster."""
    return second if first is None or isinstance(first, Conflict) else first
