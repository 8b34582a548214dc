"""The description that the gateway serves, held against what it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from bulkhead_sandbox.gateway.http.openapi import DOCUMENT

if TYPE_CHECKING:
    from .conftest import World

OPERATIONS = [
    (method.upper(), path, operation)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
]
IDS = [f"{method} {path}" for method, path, _ in OPERATIONS]


async def test_described_and_served_are_the_same_routes(world: World) -> None:
    """A fuzzer that goes by the description would miss the route that is not in it."""
    assert world.routes == {(method, path) for method, path, _ in OPERATIONS}


async def test_description_is_served_to_anybody(world: World) -> None:
    """A client generator has no token."""
    answer = await world.ask("GET", "/v1/openapi.json")

    assert (answer.status, answer.json) == (200, DOCUMENT)


@pytest.mark.parametrize(("method", "path", "operation"), OPERATIONS, ids=IDS)
async def test_each_route_asks_for_the_scope_that_it_is_described_with(
    world: World, method: str, path: str, operation: dict[str, Any]
) -> None:
    """Somebody would be given more than the route needs, or than he should have."""
    scopes = [scope for rule in operation.get("security", []) for scope in rule["session"]]
    if not scopes:
        assert path == "/v1/openapi.json"
        return
    scope = scopes[0].format(name="shell")
    role = "auditor" if scope.startswith("audit:") else "user"
    url = path.format(name="shell", sid="x")

    def token(*held: str) -> str:
        return world.token(*held, role=role)

    every = {"session", "chat", "embed", "tools:list", "tools:call:shell", "delegate", "audit:read"}
    assert (await world.ask(method, url)).status == 401
    assert (await world.ask(method, url, token(*sorted(every - {scope})))).slug == "insufficient-scope"
    allowed = await world.ask(method, url, token(scope))
    assert allowed.status not in (401, 403, 405, 500)
