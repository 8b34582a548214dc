"""A status report as lines of text: 80 by 24 unless told otherwise, `-` for what is not known."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["age", "lines"]

Json = dict[str, Any]

_DETAIL_LINES: Final = 3  # of the cause of trouble, before the tables
_EVENT_LINES: Final = 2
_COLOURS: Final = {"good": "32", "busy": "33", "bad": "31", "quiet": "2"}
_GROUPS: Final = ("ready", "not ready", "stalled", "suspended", "ending")
_NOT_LAYERS: Final = ("Ready", "Reconciling", "Stalled", "Expiring")


def lines(report: Json, *, width: int = 80, height: int | None = None, colour: bool = False) -> list[str]:
    """The report for people; `height` None: every row."""
    if "workspaces" in report:
        return _list(report["workspaces"], width, height, colour=colour)
    return _one(report, width, colour=colour)


def age(count: int | None) -> str:
    """Seconds in the two largest units, as kubectl prints ages: 41s, 2h14m, 3d; `-` if unknown."""
    if count is None:
        return "-"
    sign, count = ("-", -count) if count < 0 else ("", count)
    minutes, hours, days = count // 60, count // 3600, count // 86400
    if count < 120:
        return f"{sign}{count}s"
    if minutes < 10:
        return f"{sign}{minutes}m" + (f"{count % 60}s" if count % 60 else "")
    if hours < 1:
        return f"{sign}{minutes}m"
    if days < 2:
        return f"{sign}{hours}h" + (f"{minutes % 60}m" if minutes % 60 else "")
    return f"{sign}{days}d" + (f"{hours % 24}h" if hours % 24 and days < 8 else "")


def _list(rows: Sequence[Json], width: int, height: int | None, *, colour: bool) -> list[str]:
    if not rows:
        return ["No workspaces. A first one: kubectl apply -f examples/minimal.yaml"]
    shown, hidden = _fitting(rows, height)
    table = [("NAME", "READY", "AGENTS", "EXPIRES", "AGE", "REASON")]
    table += [
        (
            row["name"],
            _ready(row),
            row["agents"] or "-",
            _expires(row),
            age(row["ageSeconds"]),
            row["reason"] or "-",
        )
        for row in shown
    ]
    text = _columns(table, width)
    painted = [
        text[0],
        *(_paint(line, _mood(row), colour=colour) for line, row in zip(text[1:], shown, strict=True)),
    ]
    if hidden:
        painted.append(
            f"{hidden} more, all of them ready: --all shows them"
            if _quiet(rows, shown)
            else f"{hidden} more: --all"
        )
    return [_totals(rows), "", *painted]


def _fitting(rows: Sequence[Json], height: int | None) -> tuple[list[Json], int]:
    """The rows that fit a screen, those with trouble first chosen, still sorted by name."""
    room = len(rows) if height is None else max(1, height - 5)  # totals, blank, head, rest, prompt
    if len(rows) <= room:
        return list(rows), 0
    troubled = [row for row in rows if _mood(row) != "good"]
    chosen = (troubled + [row for row in rows if _mood(row) == "good"])[:room]
    return sorted(chosen, key=lambda row: str(row["name"])), len(rows) - room


def _quiet(rows: Sequence[Json], shown: Sequence[Json]) -> bool:
    names = {row["name"] for row in shown}
    return all(_mood(row) == "good" for row in rows if row["name"] not in names)


def _totals(rows: Sequence[Json]) -> str:
    counted = Counter(_group(row) for row in rows)
    word = "workspace" if len(rows) == 1 else "workspaces"
    return f"{len(rows)} {word}: " + ", ".join(f"{counted[what]} {what}" for what in _GROUPS if counted[what])


def _group(row: Json) -> str:
    """The one of `_GROUPS` that the workspace is counted in."""
    ready = _ready(row)
    if ready in {"ending", "suspended"}:
        return ready
    if row["stalled"]:
        return "stalled"
    return "ready" if ready == "yes" else "not ready"


def _one(report: Json, width: int, *, colour: bool) -> list[str]:
    row = report["workspace"]
    seen = row["observedGeneration"] == row["generation"]
    generation = f"generation {row['generation'] or '-'} {'seen' if seen else 'not seen yet'}"
    head = [
        ("Workspace", row["name"], f"class {row['class'] or 'default'}, age {age(row['ageSeconds'])}"),
        ("Ready", _ready(row), f"{row['reason'] or '-'}, {generation}"),
        ("Expires", _expires(row), row["expiresAt"] or "-"),
        ("Activity", age(row["idleSeconds"]), f"last session {row['lastActivity'] or '-'}"),
    ]
    text = _columns(head, width)
    text[1] = _paint(text[1], _mood(row), colour=colour)
    text += [
        _cut(f"Namespace  {row['namespace'] or '-'}", width),
        _cut(f"Gateway    {row['gatewayURL'] or '-'}", width),
    ]
    if _mood(row) != "good" and row["message"]:
        text += textwrap.wrap(
            row["message"], width - 2, initial_indent="  ", subsequent_indent="  ",
            max_lines=_DETAIL_LINES, placeholder=" ...",
        )  # fmt: skip
    return [
        *text,
        "",
        *_layers(row["conditions"], width, colour=colour),
        "",
        *_events(report["events"], width),
    ]


def _layers(conditions: Sequence[Json], width: int, *, colour: bool) -> list[str]:
    layers = [each for each in conditions if each["type"] not in _NOT_LAYERS]
    table = [("LAYER", "STATE", "DETAIL")]
    table += [(each["type"], _state(each), _detail(each)) for each in layers]
    text = _columns(table, width)
    moods = {"ok": "good", "waiting": "busy", "not asked for": "quiet", "suspended": "quiet"}
    return [
        text[0],
        *(
            _paint(line, moods.get(_state(each), "bad"), colour=colour)
            for line, each in zip(text[1:], layers, strict=True)
        ),
    ]


def _events(events: Sequence[Json] | None, width: int) -> list[str]:
    if events is None:
        return ["EVENTS  - (no right to list Events in namespace default)"]
    if not events:
        return ["EVENTS  none"]
    table = [("EVENT", "AGE", "NOTE")]
    table += [
        (
            each["reason"] or "-",
            age(each["ageSeconds"]),
            (each["note"] or "-") + (f" (x{each['count']})" if each["count"] > 1 else ""),
        )
        for each in events[:_EVENT_LINES]
    ]
    return _columns(table, width)


def _ready(row: Json) -> str:
    if row["deleting"]:
        return "ending"
    if row["suspended"]:
        return "suspended"
    return {"True": "yes", "False": "no"}.get(row["ready"], "unknown")


def _mood(row: Json) -> str:
    if row["deleting"]:
        return "busy"
    if row["suspended"]:
        return "quiet"
    if row["ready"] == "True":
        return "good"
    return "bad" if row["stalled"] else "busy"


def _expires(row: Json) -> str:
    left = row["expiresInSeconds"]
    return "-" if left is None else "now" if left <= 0 else f"in {age(left)}"


def _state(condition: Json) -> str:
    reasons = {"NotRequested": "not asked for", "Suspended": "suspended", "Provisioning": "waiting"}
    if condition["status"] == "True":
        return "not asked for" if condition["reason"] == "NotRequested" else "ok"
    if condition["status"] == "Unknown":
        return "waiting"
    return reasons.get(condition["reason"], "failed")


def _detail(condition: Json) -> str:
    """The message; without one the reason, unless that only says once more what the state says."""
    reason = None if _state(condition) == "ok" else condition["reason"]
    return condition["message"] or reason or "-"


def _columns(table: Sequence[tuple[str, ...]], width: int) -> list[str]:
    """Aligned columns; only the last one is cut."""
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return [
        _cut("  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip(), width)
        for row in table
    ]


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else line[: width - 1] + "~"


def _paint(line: str, mood: str, *, colour: bool) -> str:
    return f"\033[{_COLOURS[mood]}m{line}\033[0m" if colour else line
