from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkhead_wire.strict_json import StrictJsonError, loads

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=20,
)

REFUSED = {
    "key twice": b'{"a": 1, "a": 2}',
    "key twice, spelled differently": b'{"a": 1, "\\u0061": 2}',
    "key twice, further down": b'[{"b": {"a": 1, "a": 1}}]',
    "NaN": b'{"a": NaN}',
    "Infinity": b"[-Infinity]",
    "half a surrogate pair": b'["\\ud800"]',
    "half a surrogate pair as a key": b'{"\\udfff": 1}',
    "latin-1": '["é"]'.encode("latin-1"),
    "utf-16": '["a"]'.encode("utf-16"),
    "byte order mark": b'\xef\xbb\xbf["a"]',
    "two values": b"1 2",
    "nothing": b"",
    "control character": b'["\n"]',
    "ten thousand brackets": b"[" * 10_000 + b"]" * 10_000,
    "a number of 5000 digits": b"1" * 5000,
    "one too deep": b"[[[[[]]]]]",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_text_with_two_readings_or_too_much_of_one_is_refused(text: bytes) -> None:
    """What one parser checks is not what the next one does."""
    with pytest.raises(StrictJsonError):
        loads(text, max_depth=4)


@given(JSON)
def test_ordinary_json_is_read_as_it_was_written(value: object) -> None:
    """Strictness that refuses honest callers."""
    assert loads(json.dumps(value).encode(), max_depth=100) == value


def test_depth_counts_containers() -> None:
    """Off by one: the documented bound would not be the real one."""
    assert loads(b'[[{"a": []}]]', max_depth=4) == [[{"a": []}]]


def test_escaped_pair_is_one_character() -> None:
    """Emoji in a prompt are no attack."""
    assert loads(b'"\\ud83d\\ude00"', max_depth=1) == "\U0001f600"


def test_message_quotes_nothing() -> None:
    """A secret in a broken body would be in the error and then in a log."""
    with pytest.raises(StrictJsonError) as caught:
        loads(b'{"password": "hunter2"', max_depth=4)
    assert "hunter2" not in str(caught.value)
