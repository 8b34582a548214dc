"""Log lines as a collector reads them."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

import pytest

from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_a_line_is_an_event_with_fields_and_scope(capsys: pytest.CaptureFixture[str]) -> None:
    """Searches go by event and workspace, never by words of a sentence."""
    logs.configure("info")
    with logs.reconcile_scope(workspace="acme", reconcile="r1"):
        logs.info(LogEvent.DRIFT_REPAIRED, kind="Role")

    [line] = lines(capsys)
    assert line.pop("time")
    assert line == {
        "level": "info",
        "event": "drift.repaired",
        "workspace": "acme",
        "reconcile": "r1",
        "kind": "Role",
    }


def test_scopes_end(capsys: pytest.CaptureFixture[str]) -> None:
    """A line of the process must not look like one of the last workspace's."""
    logs.configure("info")
    with logs.reconcile_scope(workspace="acme"):
        pass
    logs.info(LogEvent.OPERATOR_STOPPED)

    assert "workspace" not in lines(capsys)[0]


def test_libraries_warn_in_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    """One line that is no JSON breaks a collector."""
    logs.configure("info")
    logging.getLogger("kopf").warning("watch %s\nfailed", "x")
    logging.getLogger("kopf").info("chatter")

    [line] = lines(capsys)
    assert (line["event"], line["logger"], line["message"]) == ("library.message", "kopf", "watch x\nfailed")


def test_every_event_is_documented() -> None:
    """The list of events in docs/reference is made from here."""
    assert [event for event in LogEvent if not event.documentation] == []
