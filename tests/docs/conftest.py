"""The documentation as files: every page that people write, and what they claim."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def name(self) -> str:
        """Path inside the repository."""
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text()

    @property
    def prose(self) -> str:
        """Without code blocks."""
        return re.sub(r"(?ms)^```.*?^```", "", self.text)

    @property
    def spans(self) -> list[str]:
        """What stands in `code spans`."""
        return re.findall(r"`([^`\n]+)`", self.prose)

    def blocks(self, language: str) -> list[str]:
        """Contents of the fenced blocks in that language."""
        return re.findall(rf"(?ms)^```{language}\n(.*?)^```", self.text)

    @property
    def commands(self) -> list[str]:
        """Command lines of console blocks, continuation lines joined, comments dropped."""
        joined = "\n".join(self.blocks("console")).replace("\\\n", " ")
        return [line.split("  #")[0].strip() for line in joined.splitlines() if line.strip()]


PAGES = [Page(path) for path in sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])]


@pytest.fixture(params=PAGES, ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> Page:
    """Every page in turn."""
    found: Page = request.param
    return found
