"""The operator's port: who may ask, and what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkhead_wire.keys import SigningKey
from bulkhead_wire.operator_token import sign_operator_token

from .conftest import KEY, KEYS, NOW, UID

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import World

ROUTES = [("GET", "/internal/v1/activity"), ("POST", "/internal/v1/epoch")]
WRONG: dict[str, Callable[[World], str]] = {
    "a session's token": lambda world: world.token("session", "audit:read"),
    "another key": lambda _: sign_operator_token(UID, SigningKey.from_seed(b"\x09" * 32), now=NOW),
    "the gateway's own key": lambda _: sign_operator_token(UID, SigningKey.from_seed(KEYS.signing), now=NOW),
    "another workspace": lambda _: sign_operator_token("another", KEY, now=NOW),
    "a minute and a half old": lambda _: sign_operator_token(UID, KEY, now=NOW - 90),
    "nothing": lambda _: "x",
}


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG.keys())
async def test_nobody_but_the_operator_is_answered(
    world: World, method: str, path: str, make: Callable[[World], str]
) -> None:
    """Whoever reaches the port could end sessions, or read who does what."""
    answer = await world.ask_operator_port(method, path, make(world))

    assert (answer.status, answer.slug) == (401, "invalid-token")


async def test_operators_token_is_nothing_to_sessions(world: World) -> None:
    """The operator could act as a user, and so could whoever sees its token."""
    answer = await world.ask("GET", "/v1/session", sign_operator_token(UID, KEY, now=NOW))

    assert answer.status == 401


@pytest.mark.parametrize("body", [{}, {"epoch": -1}, {"epoch": "1"}, {"epoch": True}, {"epoch": 1, "x": 1}])
async def test_epoch_must_be_one(world: World, body: dict[str, Any]) -> None:
    """A typing error would revoke nothing, or everything for ever."""
    answer = await world.ask_operator_port("POST", "/internal/v1/epoch", json=body)

    assert (answer.status, answer.slug) == (422, "invalid-field")


async def test_unknown_paths_tell_strangers_nothing(world: World) -> None:
    """The port's routes could be found by trying."""
    answer = await world.ask_operator_port("GET", "/internal/v1/nothing", "x")

    assert (answer.status, answer.slug) == (401, "invalid-token")
