"""Help: complete, with examples that the parser accepts."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest

from bulkhead.cli.main import parser

if TYPE_CHECKING:
    from .conftest import Bulkhead


@pytest.mark.parametrize("command", ["token", "status", "audit"])
def test_every_command_explains_itself_with_examples(bulkhead: Bulkhead, command: str) -> None:
    """The help is the reference that is always at hand."""
    done = bulkhead(command, "--help")

    assert 0 == done.code
    assert "examples:" in done.out


@pytest.mark.parametrize("command", ["token", "status", "audit"])
def test_the_examples_in_the_help_are_accepted(bulkhead: Bulkhead, command: str) -> None:
    """An example that fails is worse than none."""
    text = bulkhead(command, "--help").out.split("examples:", 1)[1]
    lines = [match[1] for match in re.finditer(r"(?m)^  (bulkhead [^|\n]+?)(?:  .*)?$", text)]

    assert lines
    for line in lines:
        parser().parse_args(shlex.split(line)[1:])


def test_no_command_is_wrong_usage(bulkhead: Bulkhead) -> None:
    """Exit code 2 and a way to the help."""
    done = bulkhead("explode")

    assert 2 == done.code
    assert "--help" in done.err
