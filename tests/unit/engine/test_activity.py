"""Asking a gateway, against a real HTTP server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bulkhead import names
from bulkhead.engine.activity import Activity, GatewayActivity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STARTED = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
async def answers(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[web.Response]]:
    """Answers of a gateway on loopback, in turn."""
    scripted: list[web.Response] = []

    async def handle(_: web.Request) -> web.Response:
        return scripted.pop(0)

    app = web.Application()
    app.router.add_get("/internal/v1/activity", handle)
    async with TestServer(app, host="127.0.0.1") as server:
        monkeypatch.setattr(names, "GATEWAY_OPERATOR_PORT", server.port)
        yield scripted


async def ask() -> Activity | None:
    async with aiohttp.ClientSession() as session:
        return await GatewayActivity(session).ask("127.0.0.1")


async def test_times_are_read(answers: list[web.Response]) -> None:
    """They decide on the end of a workspace."""
    answers.append(web.json_response({"started_at": "2026-12-01T12:00:00Z", "last_session_at": None}))

    assert await ask() == Activity(STARTED, None)


@pytest.mark.parametrize(
    "answer",
    [
        web.Response(status=500),
        web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}),
        web.Response(text="<html>"),
        web.json_response(["2026-12-01T12:00:00Z"]),
        web.json_response({"started_at": "yesterday"}),
        web.json_response({"started_at": "2026-12-01T12:00:00"}),
        web.Response(text='{"started_at": "' + "x" * 10_000 + '"}'),
    ],
    ids=["error", "redirect", "prose", "list", "no time", "no offset", "endless"],
)
async def test_what_cannot_be_believed_is_no_answer(
    answers: list[web.Response], answer: web.Response
) -> None:
    """A gateway is trusted code, but what answers at its address may be something else by now."""
    answers.append(answer)

    assert await ask() is None


async def test_nobody_there_is_no_answer(monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int) -> None:
    """Unreachable must not raise: the caller decides what it means."""
    monkeypatch.setattr(names, "GATEWAY_OPERATOR_PORT", unused_tcp_port)

    assert await ask() is None


async def test_the_newer_time_counts() -> None:
    """A restarted gateway has forgotten its sessions, but it started after them."""
    later = STARTED.replace(hour=13)

    assert Activity(STARTED, later).latest == later
    assert Activity(later, STARTED).latest == later
    assert Activity(None, None).latest is None
