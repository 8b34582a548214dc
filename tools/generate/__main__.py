"""Write what is made from the models and the chart, or with --check fail if it is not current."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from generate.crds import crd_files
from generate.pages import reference_pages
from generate.rights import rights_page

ROOT = Path(__file__).resolve().parents[2]
MARK = "by `make generate`; do not edit"
GROUPS = {"crds": crd_files, "docs": reference_pages, "rights": rights_page}


def generated(groups: list[str]) -> dict[str, str]:
    """Path below the repository's root -> text."""
    return {path: text for group in groups for path, text in GROUPS[group]().items()}


def stale(files: dict[str, str]) -> list[str]:
    """The files whose text on disk differs, and the generated ones that nothing makes any more."""
    differing = [path for path, text in files.items() if not _has(ROOT / path, text)]
    folders = {Path(path).parent for path in files}
    found = {entry for folder in folders for entry in (ROOT / folder).glob("*.*") if _is_generated(entry)}
    orphans = {str(entry.relative_to(ROOT)) for entry in found} - files.keys()
    return sorted([*differing, *orphans])


def _is_generated(path: Path) -> bool:
    return MARK in path.read_text(encoding="utf-8").partition("\n")[0]


def _has(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def main() -> int:
    """Exit status 0: written, or current; 1: `--check` found stale files and names them."""
    parser = argparse.ArgumentParser(prog="python -m generate", description=__doc__)
    parser.add_argument("group", nargs="?", choices=sorted(GROUPS), help="default: all")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is not current")
    options = parser.parse_args()
    files = generated([options.group] if options.group else sorted(GROUPS))
    outdated = stale(files)
    if options.check:
        for path in outdated:
            print(f"not current: {path} (run `make generate`)", file=sys.stderr)
        return 1 if outdated else 0
    for path, text in files.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, encoding="utf-8")
    for path in outdated:
        if path not in files:
            (ROOT / path).unlink()
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
