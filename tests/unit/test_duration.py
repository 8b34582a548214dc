from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkhead import duration
from bulkhead.errors import InvalidValue

BAD = [
    "",
    "0",
    "90",
    "7d",
    "-1h",
    "1.5h",
    "1h 30m",
    "30m1h",
    "1h1h",
    "h",
    "1H",
    "1000000h",
    "500ms",
    "PT1H",
    "1h\n",
]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("8h", 28800), ("1h30m", 5400), ("90s", 90), ("168h", 604800), ("0s", 0), ("0h0m", 0), ("90m", 5400)],
)
def test_hours_minutes_and_seconds_add_up(text: str, seconds: int) -> None:
    """A deadline that is read wrongly deletes a tenant too early."""
    assert seconds == duration.seconds(text)


@pytest.mark.parametrize("text", BAD, ids=repr)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    """Days, fractions and signs mean different things to different readers."""
    with pytest.raises(InvalidValue) as error:
        duration.seconds(text, field="spec.lifecycle.ttl")

    assert (error.value.field, error.value.given) == ("spec.lifecycle.ttl", text)
    assert "1h30m" in error.value.allowed


@pytest.mark.parametrize("text", [text for text in BAD if text])
def test_schema_pattern_refuses_what_the_parser_refuses(text: str) -> None:
    """Two readers of one field must not disagree."""
    # \Z as in RE2 and Rust: Python's own $ also matches before a newline.
    assert re.match(duration.DURATION_PATTERN.replace("$", r"\Z"), text) is None


@given(st.integers(min_value=0, max_value=10**9))
def test_formatted_seconds_read_back(count: int) -> None:
    """Messages show durations that can be pasted into a spec."""
    text = duration.format_seconds(count)

    assert count == duration.seconds(text)
    assert re.match(duration.DURATION_PATTERN, text)


@pytest.mark.parametrize(("count", "text"), [(0, "0s"), (5400, "1h30m"), (59, "59s"), (604800, "168h")])
def test_formatting_is_the_shortest_spelling(count: int, text: str) -> None:
    """No zero parts."""
    assert text == duration.format_seconds(count)
