"""JSON from people we do not trust: one meaning for every text, or a refusal.

The standard parser keeps the last of two equal keys, reads NaN, lone surrogates and UTF-16, and nests until
the stack ends. Two readers that differ in any of these can be played against each other: all are refused.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

__all__ = ["StrictJsonError", "loads"]


class StrictJsonError(ValueError):
    """The text is not JSON with one meaning; the message never quotes it."""


def loads(data: bytes, *, max_depth: int) -> Any:
    """The value of UTF-8 JSON without duplicate keys, NaN or lone surrogates, at most `max_depth` deep."""
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
        if "\\u" in text:  # only an escape can smuggle half a surrogate pair past the decoding above
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except StrictJsonError:
        raise
    except (ValueError, RecursionError) as error:  # UnicodeError and JSONDecodeError are ValueErrors
        raise StrictJsonError("not valid JSON") from error
    if not _at_most(value, max_depth):
        raise StrictJsonError("nested too deeply")
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise StrictJsonError("duplicate key")
    return made


def _constant(_name: str) -> NoReturn:
    raise StrictJsonError("not a JSON number")


def _at_most(value: Any, max_depth: int) -> bool:
    """Whether `value` nests at most `max_depth` containers; level by level, so depth costs no stack."""
    level = [value]
    for _ in range(max_depth + 1):
        level = [item for item in level if isinstance(item, (dict, list))]
        if not level:
            return True
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return False
