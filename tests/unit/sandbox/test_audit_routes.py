"""Who may read the audit log over HTTP, and what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

if TYPE_CHECKING:
    from .conftest import Answer, World

RECORDS = "/v1/audit/records"


async def read(world: World, query: str = "") -> Answer:
    return await world.ask("GET", RECORDS + query, world.token("audit:read", role="auditor"))


def sequence(answer: Answer) -> list[Any]:
    return [orjson.loads(line)["ev"] for line in answer.body.splitlines()]


async def test_auditor_reads_records_and_the_checkpoint(world: World) -> None:
    """The log would be there and nobody could hold it against anything."""
    await world.ask("DELETE", "/v1/sessions", world.token("session"))

    answer = await read(world)

    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert sequence(answer) == ["memory", "memory"]
    token = world.token("audit:read", role="auditor")
    assert (await world.ask("GET", "/v1/audit/checkpoint", token)).json == {"seq": 2}


async def test_reading_is_on_record(world: World) -> None:
    """Who watches the watchers."""
    await read(world)

    assert sequence(await read(world)) == ["auth"]
    assert world.audit.records_made[0]["why"] == "audit-read"


@pytest.mark.parametrize(("query", "count"), [("?after_seq=0", 2), ("?limit=1", 1), ("?after_seq=9", 0)])
async def test_records_come_in_portions(world: World, query: str, count: int) -> None:
    """A long log could not be read at all, or only from the beginning."""
    await world.ask("DELETE", "/v1/sessions", world.token("session"))
    await read(world)

    assert len(sequence(await read(world, query))) == count


BAD_QUERIES = ["after_seq=-1", "after_seq=x", "after_seq=1&after_seq=2", "limit=0", "limit=501", "limit=٣"]


@pytest.mark.parametrize("query", BAD_QUERIES)
async def test_query_that_does_not_fit_is_refused(world: World, query: str) -> None:
    """A portion that was not asked for looks like a gap."""
    answer = await read(world, f"?{query}")

    assert (answer.status, answer.slug) == (422, "invalid-field")


@pytest.mark.parametrize("path", [RECORDS, "/v1/audit/checkpoint"])
async def test_scope_alone_and_role_alone_are_not_enough(world: World, path: str) -> None:
    """A user with a slip of a scope would read what everybody did."""
    for token in (world.token("audit:read"), world.token("session", role="auditor")):
        assert (await world.ask("GET", path, token)).slug == "insufficient-scope"


async def test_operator_reads_the_same(world: World) -> None:
    """The operator could anchor nothing."""
    await world.ask("DELETE", "/v1/sessions", world.token("session"))

    head = await world.ask_operator_port("GET", "/internal/v1/audit/head")
    records = await world.ask_operator_port("GET", "/internal/v1/audit/records?after_seq=0&limit=10")

    assert head.json["seq"] == 1
    assert sequence(records) == ["memory"]
