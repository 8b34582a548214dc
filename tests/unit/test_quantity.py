from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkhead import quantity
from bulkhead.errors import InvalidValue

# Spellings as kube-apiserver 1.37 stored them when given the left one.
CANONICAL = [
    ("4000m", "4"),
    ("8192Mi", "8Gi"),
    ("1024", "1024"),
    ("1.5Gi", "1536Mi"),
    ("0.5", "500m"),
    ("1000Ki", "1000Ki"),
    ("0.5Ki", "512"),
    ("0.1Gi", "107374182400m"),
    ("1.1Ki", "1126400m"),
    ("1e3", "1e3"),
    ("1.5e3", "1500"),
    ("12e6", "12e6"),
    ("1500000", "1500k"),
    ("0", "0"),
    ("0Gi", "0"),
    ("100m", "100m"),
    ("0.0001", "100u"),
    ("0.1n", "1n"),
    ("1023Ki", "1023Ki"),
    ("1024Ki", "1Mi"),
    (".5", "500m"),
    ("1.5Ei", "1536Pi"),
    ("1500u", "1500u"),
    ("2.5Mi", "2560Ki"),
    ("1e-3", "1e-3"),
    ("0.001k", "1"),
    ("999999999999", "999999999999"),
]

numbers = st.decimals(min_value=0, max_value=10**6, places=3).map(lambda number: f"{number:f}")
suffixes = st.sampled_from(
    ["", "n", "u", "m", "k", "M", "G", "T", "P", "Ki", "Mi", "Gi", "Ti", "Pi", "e3", "E-2"]
)
quantities = st.builds("{}{}".format, numbers, suffixes)


@pytest.mark.parametrize(("given_text", "stored"), CANONICAL, ids=[text for text, _ in CANONICAL])
def test_canonical_is_what_the_api_server_stores(given_text: str, stored: str) -> None:
    """Another spelling would look like drift and be repaired for ever."""
    assert stored == quantity.canonical(given_text)


@given(quantities)
def test_canonical_is_stable_and_never_less(text: str) -> None:
    """Canonical twice is canonical once; rounding below a nano goes up, by less than a nano."""
    once = quantity.canonical(text)

    assert once == quantity.canonical(once)
    assert Fraction() <= quantity.exact(once) - quantity.exact(text) < Fraction(1, 10**9)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2", 2000), ("0.5", 500), ("500m", 500), ("0.0001", 1), ("1k", 1_000_000), ("0", 0), ("-0.0001", -1)],
)
def test_millicores_round_away_from_zero(text: str, value: int) -> None:
    """A request that rounds down to nothing would be no request."""
    assert value == quantity.millicores(text)


@pytest.mark.parametrize(
    ("text", "value"), [("1Ki", 1024), ("1.5Gi", 1610612736), ("1k", 1000), ("100m", 1), ("9E", 9 * 10**18)]
)
def test_whole_gives_bytes(text: str, value: int) -> None:
    """Binary and decimal suffixes differ by up to 13 percent."""
    assert value == quantity.whole(text)


def test_no_precision_is_lost_in_large_values() -> None:
    """Floats would make these two equal."""
    assert quantity.exact("9007199254740993") > quantity.exact("9007199254740992")


@pytest.mark.parametrize(
    "text", ["", "two", "4 Gi", "1.2.3", "Gi", "1gi", "0x10", "1e", "1Gi1", "NaN", "inf", "9" * 65]
)
def test_nonsense_names_field_value_and_syntax(text: str) -> None:
    """The message ends in a condition that a person reads."""
    with pytest.raises(InvalidValue) as error:
        quantity.exact(text, field="spec.quota.cpu")

    assert error.value.field == "spec.quota.cpu"
    assert error.value.given == text
    assert "500m" in error.value.allowed


@given(st.integers(min_value=0, max_value=2**62))
def test_formatted_amounts_read_back(count: int) -> None:
    """Messages and quotas are computed in whole units and written by these."""
    assert count == quantity.whole(quantity.format_bytes(count))
    assert count == quantity.millicores(quantity.format_millicores(count))


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (1, "1"), (1024, "1Ki"), (1536 * 1024**2, "1536Mi"), (4 * 1024**3, "4Gi")]
)
def test_bytes_take_the_largest_whole_suffix(count: int, text: str) -> None:
    """As kubectl prints them."""
    assert text == quantity.format_bytes(count)
