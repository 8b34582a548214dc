"""Conversations: names, not credentials; opened once a token; gone when they are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkhead_wire.token import TighterLimits

if TYPE_CHECKING:
    from .conftest import Answer, FakeClock, World


async def opened(world: World, **body: Any) -> Answer:
    answer = await world.ask("POST", "/v1/sessions", world.token("session"), json=body)
    assert answer.status == 201, answer.body
    return answer


async def test_conversation_is_opened_looked_at_and_closed(world: World) -> None:
    """A client could not have one."""
    made = await opened(world, ttl_seconds=600, labels={"channel": "web"})
    path = f"/v1/sessions/{made.json['session_id']}"

    assert made.json["expires_at"] == "2027-01-15T08:10:00.000Z"
    assert made.json["labels"] == {"channel": "web"}
    assert (await world.ask("GET", path, world.token("session"))).json == made.json
    closed = await world.ask("DELETE", path, world.token("session"))
    assert (closed.status, closed.body) == (204, b"")
    assert (await world.ask("GET", path, world.token("session"))).slug == "not-found"


@pytest.mark.parametrize("handle", ["foreign", "h_" + "0" * 32, "x", "..%2F..%2Fstate.db", "h_" + "A" * 32])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_foreign_and_unknown_handles_look_the_same(world: World, method: str, handle: str) -> None:
    """Whoever learns a handle could read or end another's conversation, or learn that there is one."""
    if handle == "foreign":
        handle = (await opened(world)).json["session_id"]
    mallory = world.token("session", subject="mallory")

    answer = await world.ask(method, f"/v1/sessions/{handle}", mallory)

    assert (answer.status, answer.slug, answer.json["detail"]) == (
        404,
        "not-found",
        "Look at what the session may use.",
    )


async def test_expired_conversation_is_not_found(world: World, clock: FakeClock) -> None:
    """What a user was promised to be forgotten would still be there."""
    path = f"/v1/sessions/{(await opened(world, ttl_seconds=60)).json['session_id']}"
    clock.now += 61

    assert (await world.ask("GET", path, world.token("session"))).slug == "not-found"


async def test_one_token_opens_one_conversation(world: World) -> None:
    """A stolen token would open as many as it likes."""
    token = world.token("session")
    assert (await world.ask("POST", "/v1/sessions", token, json={})).status == 201

    again = await world.ask("POST", "/v1/sessions", token, json={})

    assert (again.status, again.slug) == (409, "session-exists")


async def test_user_can_have_all_of_it_erased(world: World) -> None:
    """A right to be forgotten that works handle by handle is none for who lost the handles."""
    paths = [f"/v1/sessions/{(await opened(world)).json['session_id']}" for _ in range(3)]

    assert (await world.ask("DELETE", "/v1/sessions", world.token("session"))).status == 204

    found = [(await world.ask("GET", path, world.token("session"))).status for path in paths]
    assert found == [404, 404, 404]


async def test_operator_erases_everybodys_at_teardown(world: World) -> None:
    """A workspace would end and its users' words stay on a volume."""
    path = f"/v1/sessions/{(await opened(world)).json['session_id']}"

    answer = await world.ask_operator_port("POST", "/internal/v1/erase")

    assert answer.json == {"users": 1}
    assert (await world.ask("GET", path, world.token("session"))).status == 404


BAD: dict[str, Any] = {
    "ttl 0": {"ttl_seconds": 0},
    "ttl beyond an hour": {"ttl_seconds": 3601},
    "ttl a text": {"ttl_seconds": "60"},
    "nine labels": {"labels": {str(number): "x" for number in range(9)}},
    "a label that is a number": {"labels": {"a": 1}},
    "a label without name": {"labels": {"": "x"}},
    "a long label": {"labels": {"a": "x" * 65}},
    "unknown field": {"user": "bob"},
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
async def test_body_that_does_not_fit_opens_nothing(world: World, body: dict[str, Any]) -> None:
    """A typing error in a limit would be no limit."""
    token = world.token("session")

    answer = await world.ask("POST", "/v1/sessions", token, json=body)

    assert (answer.status, answer.slug) == (422, "invalid-field")
    assert (await world.ask("POST", "/v1/sessions", token, json={})).status == 201, "the token is not used up"


async def test_opening_counts_as_a_request(world: World) -> None:
    """Opening conversations would be the one thing that is free."""
    token = world.token("session", limits=TighterLimits(rpm=1))
    assert (await world.ask("POST", "/v1/sessions", token, json={})).status == 201

    again = world.token("session", limits=TighterLimits(rpm=1))
    assert (await world.ask("POST", "/v1/sessions", again, json={})).slug == "rate-limited"


async def test_opening_and_erasing_are_on_record_without_the_handle(world: World) -> None:
    """An auditor who can use what he reads is one more user."""
    handle = (await opened(world)).json["session_id"]
    await world.ask("DELETE", f"/v1/sessions/{handle}", world.token("session"))

    assert [(r["ev"], r["phase"], r.get("why")) for r in world.audit.records_made] == [
        ("session", "begin", None),
        ("session", "end", "opened"),
        ("memory", "begin", None),
        ("memory", "end", "erased"),
    ]
    assert handle not in str(world.audit.records_made)
    named = [r["target"]["handle"] for r in world.audit.records_made if "target" in r]
    assert len(set(named)) == 1
