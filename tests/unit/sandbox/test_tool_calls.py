"""What becomes of a tool call besides its result: records, limits, and a look at what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bulkhead_sandbox.gateway.content import Tags

from .conftest import KEYS, UID

if TYPE_CHECKING:
    from .conftest import World

AWS = "AKIAIOSFODNN7EXAMPLE"
OURS = Tags(KEYS.tag, UID)
THEIRS = Tags(b"\x77" * 32, "another-uid")


async def test_call_is_on_record_before_and_after(world: World) -> None:
    """A call that left no trace could be denied, or invented."""
    await world.call("shell", "shell_exec", argv=["echo", "planted-secret"])

    begin, end = world.audit.records_made
    assert (begin["ev"], begin["phase"], begin["sub"]) == ("tool", "begin", "alice")
    assert begin["target"] == {"tool": "shell", "function": "shell_exec"}
    assert (end["phase"], end["ref"], end["out"]) == ("end", 0, "allow")
    assert begin["len"] == {"in": len(b'{"argv":["echo","planted-secret"]}')}
    assert len(begin["mac"]["in"]) == len(end["mac"]["out"]) == 64
    assert "planted-secret" not in str(world.audit.records_made)


async def test_no_record_no_call(world: World) -> None:
    """With a full disk, work would go on unseen."""
    world.audit.fails = True

    answer = await world.call("shell", "shell_exec", argv=["touch", "was-here"])

    assert (answer.status, answer.slug) == (503, "audit-unavailable")
    world.audit.fails = False
    found = await world.call("shell", "shell_exec", argv=["ls"])
    assert "was-here" not in found.json["structured"]["stdout"]


async def test_failed_call_says_how_it_ended(world: World) -> None:
    """A begin without an end looks like a crash."""
    await world.call("shell", "no_such_function")

    assert [(r["phase"], r["out"], r.get("why")) for r in world.audit.records_made] == [
        ("begin", "allow", None),
        ("end", "error", "invalid-field"),
    ]


@pytest.mark.parametrize("tool", ["gone", "files"])
async def test_call_that_is_not_made_is_not_recorded_as_made(world: World, tool: str) -> None:
    """The log would name tools and functions that somebody made up."""
    await world.call(tool, "shell_exec", argv=["id"])

    assert world.audit.records_made == []


async def test_secret_in_a_result_is_replaced(world: World) -> None:
    """A tool's environment or file would hand a key to whoever asks."""
    answer = await world.call("shell", "shell_exec", argv=["echo", AWS])

    assert answer.json["structured"]["stdout"] == "[redacted:aws-key]\n"
    assert AWS.encode() not in answer.body
    assert world.counted("bulkhead_gw_security_events_total", kind="secret_redacted") > 0


@pytest.mark.parametrize(
    ("canary", "kind", "severity"),
    [
        (THEIRS.canary("bob", "s"), "foreign_canary", "critical"),
        (OURS.canary("bob", "s"), "crossed_canary", "critical"),
        (OURS.canary("alice", "s"), "canary_leak", "high"),
    ],
)
async def test_canary_in_a_result_stops_it(world: World, canary: str, kind: str, severity: str) -> None:
    """A tool that two tenants share would carry one's prompt to the other."""
    answer = await world.call("shell", "shell_exec", argv=["echo", canary])

    assert (answer.status, answer.slug) == (502, "unsafe-output")
    assert canary.encode() not in answer.body
    assert world.counted("bulkhead_gw_security_events_total", kind=kind) == 1
    begin, event, end = world.audit.records_made
    assert (event["ev"], event["why"], event["sev"]) == ("security", kind.replace("_", "-"), severity)
    assert (end["ref"], end["out"]) == (0, "deny")
    assert begin["rid"] == event["rid"]


async def test_rates_are_told_with_the_result(world: World) -> None:
    """A client could not slow down before it is refused."""
    answer = await world.call("shell", "shell_exec", argv=["id"])

    assert answer.headers["x-ratelimit-limit-requests"] == "60"
    assert answer.headers["x-ratelimit-remaining-requests"] == "59"
