"""Command line: python -m cluster up | down | status | env | load | audit-log."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from cluster import report
from cluster.current import use_current
from cluster.down import down
from cluster.errors import ClusterError
from cluster.kindcluster import load_archives
from cluster.progress import Progress
from cluster.settings import MARK, settings_from
from cluster.state import locked
from cluster.up import up

if TYPE_CHECKING:
    from cluster.settings import Settings


def parser() -> argparse.ArgumentParser:
    """All commands with their help."""
    top = argparse.ArgumentParser(
        prog="python -m cluster", description="A kind cluster for tests; see docs/contributing/cluster.md"
    )
    commands = top.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="make the cluster, or check and mend the one that runs")
    gone = commands.add_parser("down", help="remove the cluster; the cache of built things stays")
    gone.add_argument("--wipe-cache", action="store_true", help="remove what was built as well")
    commands.add_parser("status", help="what runs; exit 0 when all of it does")
    env = commands.add_parser("env", help="shell lines that lead to the cluster, for eval")
    env.add_argument("--json", action="store_true", help="the same as one JSON object")
    load = commands.add_parser("load", help="put docker archives into every node that lacks them")
    load.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    commands.add_parser("audit-log", help="print the API server's audit log")
    return top


def dispatch(arguments: argparse.Namespace, settings: Settings, progress: Progress) -> int:
    """Do what was asked; the exit code."""
    if arguments.command == "status":
        return 0 if report.status(settings, progress) else 1
    if arguments.command == "env":
        variables = report.environment(settings)
        print(json.dumps(variables, indent=2) if arguments.json else report.render_exports(variables), end="")
        return 0
    if arguments.command == "audit-log":
        print(report.audit_log(settings, progress), end="")
        return 0
    with locked(settings, progress):
        if arguments.command == "up":
            (use_current if settings.cluster == "current" else up)(settings, progress)
        elif arguments.command == "down":
            down(settings, progress, wipe_cache=arguments.wipe_cache)
        else:
            load_archives(report.lab_of(settings, progress), arguments.archives)
    return 0


def main() -> int:
    """Run one command; failures are told in words and by exit code, see errors.py."""
    arguments = parser().parse_args()
    try:
        settings = settings_from(os.environ)
        os.environ[MARK] = str(settings.cache)  # every process started from here on carries it
        return dispatch(arguments, settings, Progress())
    except ClusterError as error:
        print(f"cluster {arguments.command}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(
            f"cluster {arguments.command}: interrupted; `up` goes on from here, `down` cleans up",
            file=sys.stderr,
        )
        return 130


if __name__ == "__main__":
    sys.exit(main())
