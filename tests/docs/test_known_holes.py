"""The page of others' holes names tests that exist, and every test that is named after one."""

from __future__ import annotations

import re
from functools import cache

from .conftest import PAGES, ROOT

PAGE = next(page for page in PAGES if page.name == "docs/security/known-holes.md")
SOURCES = r"test_(?:agent_sandbox|agentic_operator_core|capsule|kubernetes_pitfall)_\w+"


@cache
def _tests_in(file: str) -> set[str]:
    return set(re.findall(r"(?m)^(?:async )?def (test_\w+)\(", (ROOT / file).read_text(encoding="utf-8")))


def test_every_test_that_is_named_exists() -> None:
    """A hole whose test was renamed away looks closed and is not looked at."""
    named = [span.split("::") for span in PAGE.spans if span.startswith("tests/")]

    assert [] == [file for file, *_ in named if not (ROOT / file).is_file()]
    assert [] == [(file, *test) for file, *test in named if not set(test) <= _tests_in(file)]


def test_every_test_named_after_a_hole_is_on_the_page() -> None:
    """The page is where a reader counts what is covered."""
    files = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")]
    after_holes = {test for file in files for test in _tests_in(file) if re.fullmatch(SOURCES, test)}

    assert len(after_holes) > 30
    assert set() == {
        test for test in after_holes if not any(span.endswith(f"::{test}") for span in PAGE.spans)
    }
