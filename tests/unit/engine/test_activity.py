"""When a gateway last served, as it says itself."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from bulkhead.engine.activity import Activity, GatewayActivity
from bulkhead.engine.door import Reply

pytestmark = pytest.mark.asyncio
STARTED = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)


@dataclass
class Door:
    """Answers every question with `reply`."""

    reply: Reply | None

    async def ask(self, uid: str, host: str, path: str, **_: Any) -> Reply | None:
        assert ("u-1", "10.0.0.1", "/internal/v1/activity") == (uid, host, path)
        return self.reply


async def ask(reply: Reply | None) -> Activity | None:
    return await GatewayActivity(Door(reply)).ask("u-1", "10.0.0.1")


async def test_times_are_read() -> None:
    """They decide on the end of a workspace."""
    body = json.dumps({"started_at": "2026-12-01T12:00:00Z", "last_session_at": None}).encode()

    assert await ask(Reply(200, body)) == Activity(STARTED, None)


@pytest.mark.parametrize(
    "reply",
    [
        None,
        Reply(500, b"{}"),
        Reply(401, b"{}"),
        Reply(200, b"<html>"),
        Reply(200, b'["2026-12-01T12:00:00Z"]'),
        Reply(200, b'{"started_at": "yesterday"}'),
        Reply(200, b'{"started_at": "2026-12-01T12:00:00"}'),
    ],
    ids=["nobody", "error", "refused", "prose", "list", "no time", "no offset"],
)
async def test_what_cannot_be_believed_is_no_answer(reply: Reply | None) -> None:
    """A gateway is trusted code, but what answers at its address may be something else by now."""
    assert await ask(reply) is None


async def test_the_newer_time_counts() -> None:
    """A restarted gateway has forgotten its sessions, but it started after them."""
    later = STARTED.replace(hour=13)

    assert Activity(STARTED, later).latest == later
    assert Activity(later, STARTED).latest == later
    assert Activity(None, None).latest is None
