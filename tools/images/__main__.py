"""Command line: python -m images build | load | verify | refs."""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from cluster import report
from cluster.errors import ClusterError
from cluster.kindcluster import load_archives
from cluster.progress import Progress
from cluster.settings import MARK, settings_from
from cluster.state import locked
from images.build import build, builder, key_of
from images.specs import SPECS
from images.verify import verify

if TYPE_CHECKING:
    from cluster.settings import Settings


def parser() -> argparse.ArgumentParser:
    """All commands with their help."""
    top = argparse.ArgumentParser(
        prog="python -m images", description="The images; see docs/contributing/cluster.md"
    )
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build what changed; print reference, id and unpacked size")
    commands.add_parser("load", help="build what changed and put it into every node that lacks it")
    commands.add_parser("verify", help="check size and content, and that a second build gives the same image")
    refs = commands.add_parser("refs", help="the references for the chart, by content")
    refs.add_argument("--json", action="store_true", help="as one JSON object")
    return top


def dispatch(command: str, settings: Settings, *, as_json: bool) -> None:
    """Do what was asked."""
    progress = Progress()
    who = builder(settings, progress)
    if command == "refs":
        found = {spec.name: spec.reference(key_of(spec, who)) for spec in SPECS}
        lines = json.dumps(found) if as_json else "\n".join(f"{name} {ref}" for name, ref in found.items())
        print(lines)
        return
    with locked(settings, progress):
        if command == "verify":
            verify(who)
            return
        with ThreadPoolExecutor(len(SPECS)) as pool:
            built = list(pool.map(lambda spec: build(spec, who), SPECS))
        for one in built:
            print(f"{one.reference} {one.image_id} {one.unpacked_bytes / 1e6:.0f} MB unpacked {one.archive}")
        if command == "load":
            load_archives(report.lab_of(settings, progress), [one.archive for one in built])


def main() -> int:
    """Run one command; failures are told in words and by exit code."""
    arguments = parser().parse_args()
    try:
        settings = settings_from(os.environ)
        os.environ[MARK] = str(settings.cache)
        dispatch(arguments.command, settings, as_json=getattr(arguments, "json", False))
    except ClusterError as error:
        print(f"images {arguments.command}: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
