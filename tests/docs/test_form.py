"""Form: links lead somewhere, pages are short enough to be read, nothing local is in them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .conftest import PAGES, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Page


def _anchors(path: Path) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.+)$", path.read_text())
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_relative_link_leads_somewhere(page: Page) -> None:
    """Also to the heading that it names."""
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.prose):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (page.path.parent / file).resolve() if file else page.path
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)

    assert [] == broken


def test_every_page_can_be_found() -> None:
    """A page that nothing links to is not read, and rots."""
    linked = {
        (page.path.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", page.prose)
        if not re.match(r"[a-z]+:", link)
    }

    assert [] == [page.name for page in PAGES if page.path not in linked and page.name != "README.md"]


def test_the_readme_is_short() -> None:
    """A README is read in one go: 700 words without the transcript that closes the demo."""
    text = (ROOT / "README.md").read_text()
    read = re.sub(r"(?s)<!-- transcript:begin -->.*<!-- transcript:end -->", "", text)

    assert 700 >= len(read.split())


def test_the_quickstart_is_quick() -> None:
    """From nothing to a called tool, in 600 words."""
    assert 600 >= len((ROOT / "docs" / "quickstart.md").read_text().split())


def test_nothing_local_is_in_the_documentation(page: Page) -> None:
    """Paths of somebody's machine mean nothing to anybody else."""
    assert [] == re.findall(r"/root/|/home/\w+|/work/", page.text)


def test_decisions_are_numbered_and_listed() -> None:
    """The index is how a decision is found again."""
    folder = ROOT / "docs" / "decisions"
    pages = sorted(path.name for path in folder.glob("0*.md"))
    index = (folder / "README.md").read_text()

    assert [f"{number:04}" for number in range(1, len(pages) + 1)] == [name[:4] for name in pages]
    assert [] == [name for name in pages if f"({name})" not in index]
    for name in pages:
        title = (folder / name).read_text().splitlines()[0].removeprefix("# ")
        number, _, words = title.partition(". ")
        assert f"[{number}]({name}) | {words} |" in index
