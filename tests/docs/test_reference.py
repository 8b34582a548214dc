"""Generated pages are the ones that the code would generate now."""

from __future__ import annotations

from generate.__main__ import GROUPS, generated, stale


def test_reference_pages_and_crds_are_current() -> None:
    """A condition, event or field without its text in docs/reference sends its reader to the source."""
    assert [] == stale(generated(sorted(GROUPS)))
