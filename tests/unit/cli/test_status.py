"""`bulkhead status`: one screen, nothing on it that the JSON does not say, nothing guessed."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from bulkhead.api.conditions import WORKSPACE_CONDITIONS
from bulkhead.cli import screen, status

from .conftest import EVENTS, UID, WORKSPACES, condition, workspace

if TYPE_CHECKING:
    from .conftest import ApiServer, Bulkhead

NOW = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
STALLED = {
    "conditions": [
        condition("Ready", "False", "NotReady", "see Stalled"),
        condition("Stalled", "True", "ExceedsClass", "spec.quota.cpu: 99 is above the class's 16"),
        condition("ToolsReady", "Unknown", "Provisioning", "nothing is made yet"),
    ]
}


def _event(reason: str, minute: int, *, uid: str = UID, count: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{reason}-{minute}", "creationTimestamp": f"2026-11-23T09:{minute:02}:00Z"},
        "regarding": {"kind": "TenantWorkspace", "name": "acme", "uid": uid},
        "eventTime": f"2026-11-23T09:{minute:02}:00.000000Z",
        "type": "Normal",
        "reason": reason,
        "note": f"note of {reason}",
        "deprecatedCount": count,
    }


def _list(*workspaces: dict[str, Any]) -> dict[str, Any]:
    return status.list_report(workspaces, now=NOW)


def test_the_list_reads_well() -> None:
    """The exact screen: columns, order, words."""
    report = _list(
        workspace("globex", status=STALLED),
        workspace(),
        workspace("umbrella", spec={"lifecycle": {"suspended": True}}),
        workspace("hooli", metadata={"deletionTimestamp": "2026-11-23T09:59:00Z"}),
        workspace("initech", status={"conditions": [], "agents": "", "expiresAt": None}),
    )

    assert [
        "5 workspaces: 1 ready, 1 not ready, 1 stalled, 1 suspended, 1 ending",
        "",
        "NAME      READY      AGENTS  EXPIRES  AGE  REASON",
        "acme      yes        1/1     in 6h    2h   Ready",
        "globex    no         1/1     in 6h    2h   ExceedsClass",
        "hooli     ending     1/1     in 6h    2h   Ready",
        "initech   unknown    -       -        2h   -",
        "umbrella  suspended  1/1     in 6h    2h   Ready",
    ] == screen.lines(report)


def test_one_workspace_reads_well() -> None:
    """The exact screen of a healthy workspace."""
    report = status.one_report(workspace(), [_event("Provisioned", 50, count=2)], now=NOW)

    assert [
        "Workspace  acme   class default, age 2h",
        "Ready      yes    Ready, generation 3 seen",
        "Expires    in 6h  2026-11-23T16:00:00Z",
        "Activity   41s    last session 2026-11-23T09:59:19Z",
        "Namespace  bh-acme-7f3c1",
        "Gateway    http://gateway.bh-acme-7f3c1.svc.cluster.local:8080",
        "",
        "LAYER            STATE          DETAIL",
        "NetworkIsolated  ok             4 policies are in place",
        "RuntimeReady     not asked for  no runtime is asked for",
        "ToolsReady       ok             1 of 1 tools serve",
        "",
        "EVENT        AGE  NOTE",
        "Provisioned  10m  note of Provisioned (x2)",
    ] == screen.lines(report)


def test_trouble_is_said_in_full_below_the_summary() -> None:
    """The message says what to do; a table cell would cut it off."""
    lines = screen.lines(status.one_report(workspace(status=STALLED), [], now=NOW))

    assert (
        "Ready      no      ExceedsClass, generation 3 not seen yet" == lines[1] or "ExceedsClass" in lines[1]
    )
    assert "  spec.quota.cpu: 99 is above the class's 16" in lines
    assert "EVENTS  none" == lines[-1]


@pytest.mark.parametrize(
    "report",
    [
        status.one_report(
            workspace(
                "w" * 40,
                status={
                    "conditions": [
                        condition(kind, "False", "ProvisionDeadlineExceeded", "word " * 200)
                        for kind in WORKSPACE_CONDITIONS
                    ]
                },
            ),
            [_event("SecretSourceMissing", minute) | {"note": "long " * 90} for minute in range(30)],
            now=NOW,
        ),
        _list(*(workspace(f"{'w' * 36}-{index:03}", status=STALLED) for index in range(500))),
    ],
    ids=["one", "list"],
)  # fmt: skip
def test_the_worst_case_fits_80_by_24(report: dict[str, Any]) -> None:
    """What scrolls away is not read."""
    lines = screen.lines(report, width=80, height=24)

    assert 80 >= max(map(len, lines))
    assert 23 >= len(lines)  # and the prompt


def test_a_full_list_shows_trouble_first_and_says_what_it_hides() -> None:
    """With 200 tenants the three broken ones are what the screen is for."""
    healthy = [workspace(f"a{index:03}") for index in range(200)]

    lines = screen.lines(_list(*healthy, workspace("zz", status=STALLED)), height=24)

    assert any(line.startswith("zz ") for line in lines)
    assert "182 more, all of them ready: --all shows them" == lines[-1]


def test_unknown_values_are_dashes() -> None:
    """A zero or an empty cell would be read as a fact."""
    bare = {"metadata": {"name": "acme", "uid": UID}, "spec": {}}

    report = status.one_report(bare, None, now=NOW)

    assert "Expires    -        -" in screen.lines(report)
    assert "EVENTS  - (no right to list Events in namespace default)" == screen.lines(report)[-1]
    assert ("Unknown", None, None) == tuple(
        report["workspace"][key] for key in ("ready", "agents", "expiresAt")
    )


@pytest.mark.parametrize(
    ("kind", "state", "reason", "shown"),
    [
        ("ToolsReady", "True", "Ready", "ToolsReady  ok     -"),
        ("ToolsReady", "False", "CrashLoop", "ToolsReady  failed  CrashLoop"),
        ("ToolsReady", "Unknown", "Provisioning", "ToolsReady  waiting  Provisioning"),
        ("ToolsReady", "False", "Suspended", "ToolsReady  suspended  Suspended"),
    ],
)
def test_a_condition_without_a_message_is_told_by_its_reason(
    kind: str, state: str, reason: str, shown: str
) -> None:
    """An empty cell is no answer, and `ok Ready` says it twice."""
    layer = workspace(status={"conditions": [condition(kind, state, reason, "")]})

    lines = screen.lines(status.one_report(layer, [], now=NOW))

    assert shown in lines


def test_events_of_an_earlier_incarnation_are_not_shown() -> None:
    """A name can be used again; the UID is the identity."""
    events = [_event("Old", 59, uid="another"), *(_event(f"New{minute}", minute) for minute in range(12))]

    report = status.one_report(workspace(), events, now=NOW)

    assert [f"New{minute}" for minute in range(11, 1, -1)] == [event["reason"] for event in report["events"]]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0s"), (119, "119s"), (125, "2m5s"), (600, "10m"), (7200, "2h"), (8040, "2h14m"),
     (172800, "2d"), (180000, "2d2h"), (864000, "10d"), (-30, "-30s")],
)  # fmt: skip
def test_ages_read_as_kubectl_prints_them(seconds: int | None, text: str) -> None:
    """Two tools side by side must not disagree."""
    assert text == screen.age(seconds)


@pytest.mark.parametrize(
    ("workspaces", "code"),
    [
        ([workspace(), workspace("b", spec={"lifecycle": {"suspended": True}})], 0),
        ([], 0),
        ([workspace(), workspace("b", status=STALLED)], 1),
        ([workspace("b", status={"conditions": []})], 1),
    ],
    ids=["ready and suspended", "none", "stalled", "unknown"],
)
def test_the_exit_code_says_whether_all_is_well(workspaces: list[dict[str, Any]], code: int) -> None:
    """`bulkhead status && deploy` must not go on over a broken tenant."""
    assert code == status.exit_code(_list(*workspaces))


def test_colour_is_never_the_only_difference() -> None:
    """A pipe, a log and a colour-blind reader see the same words."""
    report = _list(workspace(), workspace("globex", status=STALLED))

    coloured = screen.lines(report, colour=True)

    assert any("\033[31m" in line for line in coloured)
    assert screen.lines(report) == [
        line.replace("\033[31m", "").replace("\033[32m", "").replace("\033[0m", "") for line in coloured
    ]


def test_the_command_prints_json_on_request(api: ApiServer, bulkhead: Bulkhead) -> None:
    """Scripts read fields, not columns; and a pipe gets no colour."""
    api.objects[WORKSPACES] = {"items": [workspace("b"), workspace("a")]}

    done = bulkhead("status", "-o", "json")

    assert (0, "") == (done.code, done.err)
    assert ["a", "b"] == [row["name"] for row in json.loads(done.out)["workspaces"]]
    assert "\033" not in bulkhead("status").out


def test_the_command_asks_for_the_events_of_one_name_only(api: ApiServer, bulkhead: Bulkhead) -> None:
    """The namespace `default` may hold a hundred thousand Events of others."""
    api.objects |= {f"{WORKSPACES}/acme": workspace(), EVENTS: {"items": [_event("Provisioned", 50)]}}

    done = bulkhead("status", "acme")

    assert 0 == done.code
    assert "note of Provisioned" in done.out
    assert ["regarding.name=acme"] == api.queries[-1][1]["fieldSelector"]


def test_events_that_may_not_be_read_do_not_hide_the_rest(api: ApiServer, bulkhead: Bulkhead) -> None:
    """A tenant's own view of its workspace may come without rights in `default`."""
    api.objects[f"{WORKSPACES}/acme"] = workspace()
    api.failures[EVENTS] = (403, "Forbidden", "no")

    done = bulkhead("status", "acme")

    assert 0 == done.code
    assert "no right to list Events" in done.out


def test_without_the_crds_the_hint_is_to_install(bulkhead: Bulkhead) -> None:
    """A bare 404 tells a new user nothing."""
    done = bulkhead("status")

    assert (2, "") == (done.code, done.out)
    assert "is Bulkhead installed" in done.err


def test_an_unknown_workspace_is_an_answer(bulkhead: Bulkhead) -> None:
    """1, not 2: the cluster was asked and said no."""
    assert 1 == bulkhead("status", "nobody").code
