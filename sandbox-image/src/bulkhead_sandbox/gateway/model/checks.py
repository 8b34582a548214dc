"""What a field of a request may hold: each check gives the value back, or refuses it by the field's name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NoReturn

from bulkhead_sandbox.problems import Problem, Slug

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "boolean",
    "fields",
    "integer",
    "known",
    "listed",
    "named",
    "number",
    "one_of",
    "refuse",
    "text",
]

_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_SHOWN: Final = 64  # characters of a name that somebody made up


def refuse(field: str, problem: str) -> NoReturn:
    """422 that names the field and never its value."""
    raise Problem(Slug.INVALID_FIELD, detail=f"It {problem}.", field=field)


def known(value: Any, at: str, names: frozenset[str]) -> dict[str, Any]:
    """An object with none but these members; those that are null count as left out."""
    if not isinstance(value, dict):
        refuse(at or "(top)", "must be an object")
    given = {name: member for name, member in value.items() if member is not None}
    for name in given:
        if name not in names:
            refuse(f"{at}.{name[:_SHOWN]}" if at else name[:_SHOWN], "is not a field here")
    return given


def fields(value: Any, at: str, checks: dict[str, Any], *, required: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object whose every member passes its check."""
    given = known(value, at, frozenset(checks))
    for name in required:
        if name not in given:
            refuse(f"{at}.{name}" if at else name, "is missing")
    return {name: checks[name](member, f"{at}.{name}" if at else name) for name, member in given.items()}


def text(most: int, least: int = 0) -> Callable[[Any, str], str]:
    """Text of so many characters."""

    def check(value: Any, at: str) -> str:
        if not isinstance(value, str) or not least <= len(value) <= most:
            refuse(at, f"must be text of {least} to {most} characters")
        return value

    return check


def named(value: Any, at: str) -> str:
    """A name as functions and calls have it."""
    if not isinstance(value, str) or _NAME.fullmatch(value) is None:
        refuse(at, "must be 1 to 64 letters, digits, _ or -")
    return value


def integer(least: int, most: int) -> Callable[[Any, str], int]:
    """A whole number within bounds."""

    def check(value: Any, at: str) -> int:
        if type(value) is not int or not least <= value <= most:
            refuse(at, f"must be a whole number from {least} to {most}")
        return value

    return check


def number(least: float, most: float) -> Callable[[Any, str], float]:
    """A number within bounds."""

    def check(value: Any, at: str) -> float:
        if type(value) not in (int, float) or not least <= value <= most:
            refuse(at, f"must be a number from {least} to {most}")
        return float(value)

    return check


def boolean(value: Any, at: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        refuse(at, "must be true or false")
    return value


def one_of(*values: Any) -> Callable[[Any, str], Any]:
    """One of a few values; true is not 1."""

    def check(value: Any, at: str) -> Any:
        if not any(value == one and type(value) is type(one) for one in values):
            refuse(at, f"must be {' or '.join(map(str, values))}")
        return value

    return check


def listed(check: Callable[[Any, str], Any], most: int, least: int = 0) -> Callable[[Any, str], list[Any]]:
    """A list of so many items that each pass."""

    def check_all(value: Any, at: str) -> list[Any]:
        if not isinstance(value, list) or not least <= len(value) <= most:
            refuse(at, f"must be a list of {least} to {most} items")
        return [check(item, f"{at}[{index}]") for index, item in enumerate(value)]

    return check_all
