"""How a workspace's signing key is exchanged without a session being dropped: pure, one step at a time.

steady -> the next public key is published -> gateways have it: sign with it -> tokens of the old key are
over: its public half goes -> steady. Each step is one write of one Secret, decided from that Secret, from
what the gateway was given and from the clock, so a process may end between any two lines. Wall clock: the
times must outlive processes. A clock that is set back makes the exchange slower, never shorter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from bulkhead_wire.keys import SigningKey, VerifyKey

__all__ = ["DELIVERY_SECONDS", "RETIREMENT_SECONDS", "KeyState", "Step", "next_step"]

# kubelets renew mounted Secrets within about 90 s (sync period and cache), gateways look each second.
DELIVERY_SECONDS: Final = 150.0
# The longest token (600 s), two nodes' skew (30 s) and a signer that read the Secret a moment before (90 s).
RETIREMENT_SECONDS: Final = 720.0
_DELIVERED_AGAIN_SECONDS: Final = 5.0  # nobody watches Secrets
# A key's age is noticed by the sweep; only what is due before the one after the next needs an alarm clock.
_HORIZON_SECONDS: Final = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyState:
    """What the Secret says; of `next` and `previous` at most one is there."""

    active: SigningKey  # signs
    since: datetime  # `active` signs since then
    next: SigningKey | None = None  # published, does not sign yet
    published_at: datetime | None = None  # since when the gateway is known to have been given `next`
    previous: VerifyKey | None = None  # does not sign any more, its tokens are still good
    handled: str = ""  # the request that was acted on last

    def public(self) -> tuple[SigningKey | VerifyKey, ...]:
        """The keys that gateways shall accept."""
        return tuple(key for key in (self.active, self.next, self.previous) if key is not None)


@dataclass(frozen=True, slots=True)
class Step:
    """The state to write if it differs, and when time alone leads to the step after it."""

    state: KeyState
    again_seconds: float | None = None


def next_step(
    state: KeyState,
    *,
    now: datetime,
    max_age_seconds: float,
    requested: str,
    delivered: frozenset[str],
    new_key: Callable[[], SigningKey],
) -> Step:
    """At most one step. `delivered`: ids of the keys in the set that the gateway mounts.

    `requested` is what the workspace's annotation says; another value than before asks for another key.
    """
    if state.next is not None:
        return _deliver(state, state.next, now, delivered)
    if state.previous is not None:
        left = RETIREMENT_SECONDS - (now - state.since).total_seconds()
        return Step(replace(state, previous=None)) if left <= 0 else Step(state, left)
    left = max_age_seconds - (now - state.since).total_seconds()
    asked = requested not in {"", state.handled}
    if not asked and left > 0:
        return Step(state, left if left <= _HORIZON_SECONDS else None)
    if state.active.kid not in delivered:  # a workspace in the making: one thing after the other
        return Step(state, _DELIVERED_AGAIN_SECONDS)
    started = replace(state, next=new_key(), handled=requested if asked else state.handled)
    return Step(started, _DELIVERED_AGAIN_SECONDS)


def _deliver(state: KeyState, coming: SigningKey, now: datetime, delivered: frozenset[str]) -> Step:
    """Sign with the new key only once every gateway must have it: counted from when its Secret had it."""
    if not {coming.kid, state.active.kid} <= delivered:
        return Step(replace(state, published_at=None), _DELIVERED_AGAIN_SECONDS)
    if state.published_at is None:
        # Rounded up, as it is kept in whole seconds: counting from earlier would be too short.
        return Step(replace(state, published_at=_ceiling(now)), DELIVERY_SECONDS + 1)
    left = DELIVERY_SECONDS - (now - state.published_at).total_seconds()
    if left > 0:
        return Step(state, left)
    turned = replace(
        state, active=coming, since=_ceiling(now), next=None, published_at=None, previous=state.active.public
    )
    return Step(turned, RETIREMENT_SECONDS + 1)


def _ceiling(moment: datetime) -> datetime:
    return moment if moment.microsecond == 0 else moment.replace(microsecond=0) + timedelta(seconds=1)
