"""The exchange of signing keys, on faked time, with gateways that learn of it late."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bulkhead.engine.rotation import DELIVERY_SECONDS, RETIREMENT_SECONDS, KeyState, next_step
from bulkhead_wire.keys import SigningKey
from bulkhead_wire.token import MAX_TTL_SECONDS, SKEW_SECONDS

NOW = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
MAX_AGE = 30 * 86400.0
KEYS = [SigningKey.from_seed(bytes([number]) * 32) for number in range(8)]
A, B = KEYS[:2]
STEADY = KeyState(active=A, since=NOW)
PUBLISHING = replace(STEADY, next=B)
PUBLISHED = replace(PUBLISHING, published_at=NOW)
RETIRING = KeyState(active=B, since=NOW, previous=A.public)


def ids(*keys: SigningKey) -> frozenset[str]:
    return frozenset(key.kid for key in keys)


def step(state: KeyState, seconds: float, *, delivered: frozenset[str], requested: str = "") -> Any:
    return next_step(
        state,
        now=NOW + timedelta(seconds=seconds),
        max_age_seconds=MAX_AGE,
        requested=requested,
        delivered=delivered,
        new_key=lambda: B,
    )


@pytest.mark.parametrize(
    ("state", "seconds", "delivered", "requested", "after", "again"),
    [
        (STEADY, 0, ids(A), "", STEADY, None),
        (STEADY, MAX_AGE - 600, ids(A), "", STEADY, 600),
        (STEADY, MAX_AGE, ids(A), "", PUBLISHING, 5),
        (STEADY, MAX_AGE, ids(), "", STEADY, 5),
        (STEADY, 1, ids(A), "now", replace(PUBLISHING, handled="now"), 5),
        (replace(STEADY, handled="now"), 1, ids(A), "now", replace(STEADY, handled="now"), None),
        (replace(STEADY, handled="now"), 1, ids(A), "", replace(STEADY, handled="now"), None),
        (PUBLISHING, 9999, ids(A), "", PUBLISHING, 5),
        (PUBLISHING, 0, ids(A, B), "", PUBLISHED, DELIVERY_SECONDS + 1),
        (PUBLISHED, DELIVERY_SECONDS - 1, ids(A, B), "", PUBLISHED, 1),
        (PUBLISHED, DELIVERY_SECONDS, ids(A), "", PUBLISHING, 5),
        (PUBLISHED, -3600, ids(A, B), "", PUBLISHED, DELIVERY_SECONDS + 3600),
        (RETIRING, RETIREMENT_SECONDS - 1, ids(A, B), "", RETIRING, 1),
        (RETIRING, RETIREMENT_SECONDS, ids(A, B), "", replace(RETIRING, previous=None), None),
        (RETIRING, 1, ids(A, B), "again", RETIRING, RETIREMENT_SECONDS - 1),
    ],
    ids=[
        "young", "noticed before the next sweep", "old", "old, gateway not made yet", "asked for",
        "asked once", "request taken back", "not delivered", "delivered", "too early", "lost again",
        "clock set back",
        "tokens of the old key live", "over", "one exchange at a time",
    ],
)  # fmt: skip
def test_each_step_waits_for_its_reason(
    state: KeyState,
    seconds: float,
    delivered: frozenset[str],
    requested: str,
    after: KeyState,
    again: float | None,
) -> None:
    """A step too early refuses sessions, one too late leaves an old key signing."""
    taken = step(state, seconds, delivered=delivered, requested=requested)

    assert (taken.state, taken.again_seconds) == (after, again)


def test_the_new_key_signs_once_it_is_delivered() -> None:
    """The point of the exchange; the old public half must stay as long as its tokens."""
    taken = step(PUBLISHED, DELIVERY_SECONDS, delivered=ids(A, B))

    assert taken.state == replace(RETIRING, since=NOW + timedelta(seconds=DELIVERY_SECONDS))


def test_an_old_key_outlives_every_token_that_it_signed() -> None:
    """Who read the Secret a moment before the turn still signs with the old key."""
    assert RETIREMENT_SECONDS >= MAX_TTL_SECONDS + SKEW_SECONDS + 60


@dataclass
class World:
    """A signing Secret, the workspace's copy of its public half, and a gateway whose mount is late."""

    state: KeyState = STEADY
    now: datetime = NOW
    copied: tuple[str, ...] = (A.kid,)
    mounted: list[tuple[datetime, tuple[str, ...]]] = field(default_factory=lambda: [(NOW, (A.kid,))])
    fresh: Any = field(default_factory=lambda: itertools.cycle(KEYS[1:]))
    tokens: list[tuple[datetime, str]] = field(default_factory=list)

    def reconcile(self, requested: str, *, killed: bool, late_seconds: float) -> None:
        """One reconcile, that may end between its two writes."""
        self.state = next_step(
            self.state,
            now=self.now,
            max_age_seconds=MAX_AGE,
            requested=requested,
            delivered=frozenset(self.copied),
            new_key=lambda: next(self.fresh),
        ).state
        wanted = tuple(sorted(key.kid for key in self.state.public()))
        if not killed and wanted != self.copied:
            self.copied = wanted
            at = max(self.now + timedelta(seconds=late_seconds), self.mounted[-1][0])
            self.mounted.append((at, wanted))

    def known_to_gateway(self) -> tuple[str, ...]:
        return [keys for at, keys in self.mounted if at <= self.now][-1]

    def live_tokens(self) -> set[str]:
        over = timedelta(seconds=MAX_TTL_SECONDS + SKEW_SECONDS)
        return {kid for at, kid in self.tokens if self.now < at + over}


STEPS = st.lists(
    st.tuples(
        st.floats(0, 400),  # seconds until the next reconcile
        st.sampled_from(["", "1", "2", "3"]),
        st.booleans(),  # the process is killed after the first write
        st.floats(0, 120),  # how late the kubelet is
        st.floats(0, 30),  # how long ago the signer read the key
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_no_token_that_was_good_when_signed_is_ever_refused(
    steps: list[tuple[float, str, bool, float, float]],
) -> None:
    """KEY: sessions survive an exchange, whenever it begins, and whenever the operator dies within it."""
    world = World()
    for seconds, requested, killed, late, slow in steps:
        signer = world.state.active.kid  # read now, used a moment later
        world.reconcile(requested, killed=killed, late_seconds=late)
        world.tokens.append((world.now + timedelta(seconds=slow), signer))
        world.tokens.append((world.now, world.state.active.kid))
        for _ in range(4):
            world.now += timedelta(seconds=seconds / 4)
            assert world.live_tokens() <= set(world.known_to_gateway())
        assert len(world.state.public()) <= 2


def test_a_request_ends_in_one_new_key() -> None:
    """An exchange that never ends would leave an old key good for ever."""
    world = World()
    for _ in range(400):
        world.reconcile("1", killed=False, late_seconds=60)
        world.now += timedelta(seconds=5)

    assert [key.kid for key in world.state.public()] == [B.kid]
    assert (world.state.handled, world.copied) == ("1", (B.kid,))
