"""The command line: arguments in, exit code out. Clock, randomness and environment are read here only."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import secrets
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from typing_extensions import override

from bulkhead import duration
from bulkhead.cli import audit, audit_tail, issuer, screen, status
from bulkhead.cli.access import credentials
from bulkhead.cli.problems import CliError
from bulkhead.cli.token import Fresh, issue
from bulkhead.errors import InvalidValue
from bulkhead.issuer.request import TokenRequest
from bulkhead.kube.client import KubeClient
from bulkhead_wire.keys import decode_base64url
from bulkhead_wire.token import MAX_TTL_SECONDS
from bulkhead_wire.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

__all__ = ["main", "parser"]

T = TypeVar("T")

_SESSION_BYTES: Final = 16

_EPILOG: Final = """\
examples:
  bulkhead status
  bulkhead status acme -o json
  bulkhead token acme --user alice --scope tools:list --scope tools:call:shell --ttl 5m
  bulkhead audit verify audit/*.jsonl --anchor acme.json

exit codes: 0 yes, 1 the answer is no, 2 there is no answer (usage, connection, rights)
"""
_SCOPES_HELP: Final = """\
scopes:
  session            one's own session and conversations: /v1/session, /v1/sessions
  chat, embed        models: /v1/chat/completions and /v1/models, /v1/embeddings
  tools:list         list the tools: GET /v1/tools
  tools:call:NAME    call the functions of one tool: POST /v1/tools/NAME
  audit:read         with --role auditor: GET /v1/audit/records

examples:
  bulkhead token acme --user alice --scope tools:call:shell --ttl 5m
  curl -H "Authorization: Bearer $(bulkhead token acme --user alice --scope tools:list)" URL/v1/tools

The token goes to standard output and nowhere else. With --issuer (or BULKHEAD_ISSUER) the issuer makes it:
you need the right to create tenantworkspaces/token (ClusterRole bulkhead-issue-tokens) and a service account
token of audience bulkhead-issuer. Without, it is signed here with the workspace's key, which is read with
your own rights: you need to `get` Secrets in the operator's namespace (Role bulkhead-token-issuer), and can
then speak as anybody.
"""
_AUDIT_HELP: Final = """\
examples:
  bulkhead audit tail acme --user alice | bulkhead audit verify -
  bulkhead audit verify audit/*.jsonl
  kubectl get tws acme -o json > acme.json; bulkhead audit verify audit/*.jsonl --anchor acme.json

exit codes: 0 intact, 1 broken (the first bad record and why), 2 a file cannot be read
"""
_STATUS_HELP: Final = """\
examples:
  bulkhead status                 every workspace, one line each
  bulkhead status acme            one workspace: layers and latest events
  bulkhead status -o json | jq '.workspaces[] | select(.ready != "True") | .name'

exit codes: 0 everything asked for is Ready or suspended, 1 something is not, 2 there is no answer
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 1 or 2 as the help says."""
    options = parser().parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    try:
        return run(options)
    except CliError as problem:
        print(f"bulkhead: {problem}", file=sys.stderr)
        return problem.exit_code
    except KeyboardInterrupt:
        return 130  # what a shell expects of an interrupted command


def parser() -> argparse.ArgumentParser:
    """Every command and option with its help."""
    program = Path(sys.argv[0]).name
    top = _Parser(
        prog="kubectl bulkhead" if program.startswith("kubectl-") else "bulkhead",
        description="Workspaces of Bulkhead: make session tokens, look at their state.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_token(commands)
    _add_status(commands)
    _add_audit(commands)
    return top


class _Parser(argparse.ArgumentParser):
    """Exit code 2 and the message first: argparse's usage block hides the cause on a small screen."""

    @override
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\nTry: {self.prog} --help\n")


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--kubeconfig", metavar="FILE", help="default: KUBECONFIG, then ~/.kube/config")
    command.add_argument("--context", metavar="NAME", help="default: the kubeconfig's current context")


def _add_token(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "token",
        help="make a session token for one user of a workspace",
        description="Make a session token for one user of a workspace.",
        epilog=_SCOPES_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("name", metavar="NAME", help="the TenantWorkspace")
    command.add_argument(
        "--user", required=True, metavar="USER", help="who the session is for: A-Z a-z 0-9 _ . : -"
    )
    command.add_argument(
        "--scope", required=True, action="append", metavar="SCOPE", help="what it may do; may be repeated"
    )
    command.add_argument(
        "--ttl", type=_ttl, default="5m", metavar="TIME", help="validity, at most 10m (default: %(default)s)"
    )
    command.add_argument(
        "--session",
        type=_session,
        metavar="ID",
        help="continue a session: its id, 22 characters (default: a new one)",
    )
    command.add_argument(
        "--role",
        choices=("user", "auditor"),
        default="user",
        help="an auditor reads the audit log, with scope audit:read (default: %(default)s)",
    )
    _add_making(command)
    _add_common(command)
    command.set_defaults(run=_token)


def _add_making(command: argparse.ArgumentParser) -> None:
    """How a token is made: by the workspace's key, or by the issuer."""
    command.add_argument(
        "--operator-namespace",
        default=os.environ.get("BULKHEAD_OPERATOR_NAMESPACE", "bulkhead-system"),
        metavar="NAME",
        help="where the signing keys are (default: %(default)s)",
    )
    command.add_argument(
        "--issuer",
        default=os.environ.get("BULKHEAD_ISSUER"),
        metavar="URL",
        help="ask the issuer there, e.g. https://bulkhead-issuer.bulkhead-system.svc:8443",
    )
    command.add_argument(
        "--issuer-ca",
        type=Path,
        default=os.environ.get("BULKHEAD_ISSUER_CA"),
        metavar="FILE",
        help="the CA in ConfigMap bulkhead-issuer-ca (default: the system's)",
    )
    command.add_argument(
        "--identity-file",
        type=Path,
        default=issuer.IDENTITY_FILE,
        metavar="FILE",
        help="with --issuer: who you are (default: %(default)s)",
    )


def _add_status(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "status",
        help="show workspaces on one screen",
        description="Show all workspaces, or one with its layers and latest events.",
        epilog=_STATUS_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("name", metavar="NAME", nargs="?", help="one TenantWorkspace (default: all)")
    command.add_argument(
        "-o", "--output", choices=["text", "json"], default="text", help="default: %(default)s"
    )
    command.add_argument("--all", action="store_true", help="every row, even beyond one screen")
    _add_common(command)
    command.set_defaults(run=_status)


def _add_audit(commands: argparse._SubParsersAction[_Parser]) -> None:
    group = commands.add_parser(
        "audit",
        help="read and check a gateway's audit log",
        description="Read and check a gateway's audit log.",
        epilog=_AUDIT_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    inner = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
    command = inner.add_parser(
        "verify",
        help="whether a log is whole: nothing changed, cut, moved, repeated or put in",
        description="Say whether a log is whole. Needs no cluster.",
        epilog=_AUDIT_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "files", metavar="FILE", nargs="+", help="the log's files in order; -: standard input"
    )
    command.add_argument(
        "--anchor",
        metavar="FILE",
        help="JSON of the workspace, of its status.audit or of a gateway's head: what the log must contain",
    )
    command.set_defaults(run=_audit_verify)
    _add_audit_tail(inner)


def _add_audit_tail(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser(
        "tail",
        help="print a workspace's records, one a line",
        description="Print the records of an audit log. Needs the right to make tokens, and a way to the "
        "gateway.",
        epilog=_AUDIT_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("name", metavar="NAME", help="the TenantWorkspace")
    command.add_argument("--user", required=True, metavar="USER", help="who reads: it is put on record")
    command.add_argument(
        "--after", type=int, default=-1, metavar="SEQ", help="behind this record (default: from the first)"
    )
    command.add_argument("--follow", action="store_true", help="wait for more")
    command.add_argument(
        "--url", metavar="URL", help="where the gateway is reached (default: status.gateway.url)"
    )
    command.add_argument("--ca", type=Path, metavar="FILE", help="authority of the gateway's certificate")
    _add_making(command)
    _add_common(command)
    command.set_defaults(run=_audit_tail)


def _ttl(text: str) -> int:
    try:
        count = duration.seconds(text, field="--ttl")
    except InvalidValue as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not 0 < count <= MAX_TTL_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text} is not allowed; a token lives more than 0s and at most "
            f"{duration.format_seconds(MAX_TTL_SECONDS)}"
        )
    return count


def _session(text: str) -> bytes:
    try:
        raw = decode_base64url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("a session id is 22 characters of base64url") from error
    if len(raw) != _SESSION_BYTES:
        raise argparse.ArgumentTypeError("a session id is 22 characters of base64url")
    return raw


def _token(options: argparse.Namespace) -> int:
    request = TokenRequest(
        user=options.user,
        scopes=tuple(dict.fromkeys(options.scope)),
        ttl_seconds=options.ttl,
        session_id=options.session,
        role=options.role,
    )
    if options.issuer:
        return _print_token(*asyncio.run(_by_issuer(options, request)))
    return _print_token(*_with_client(options, lambda client: _by_key(client, options, request)))


async def _by_issuer(options: argparse.Namespace, request: TokenRequest) -> tuple[str, tuple[str, ...]]:
    door = issuer.Door(url=options.issuer, ca_file=options.issuer_ca, identity_file=options.identity_file)
    return await issuer.ask(door, options.name, request)


async def _by_key(
    client: KubeClient, options: argparse.Namespace, request: TokenRequest
) -> tuple[str, tuple[str, ...]]:
    return await issue(
        client,
        options.name,
        request,
        operator_namespace=options.operator_namespace,
        now=time.time(),
        fresh=Fresh(
            session_id=secrets.token_bytes(_SESSION_BYTES), token_id=secrets.token_bytes(_SESSION_BYTES)
        ),
    )


def _print_token(signed: str, warnings: Sequence[str]) -> int:
    for warning in warnings:
        print(f"bulkhead: warning: {warning}", file=sys.stderr)
    print(signed)
    return 0


def _status(options: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    report = _with_client(options, lambda client: status.report(client, options.name, now=now))
    if options.output == "json":
        print(json.dumps(report, indent=2))
        return status.exit_code(report)
    terminal = sys.stdout.isatty()
    size = shutil.get_terminal_size(fallback=(80, 24))
    lines = screen.lines(
        report,
        width=size.columns if terminal else 80,
        height=size.lines if terminal and not options.all else None,
        colour=terminal and not os.environ.get("NO_COLOR"),
    )
    print("\n".join(lines))
    return status.exit_code(report)


def _audit_verify(options: argparse.Namespace) -> int:
    print("\n".join(audit.check(options.files, options.anchor, sys.stdin.buffer)))
    return 0


def _audit_tail(options: argparse.Namespace) -> int:
    request = TokenRequest(
        user=options.user, scopes=(audit_tail.SCOPE,), ttl_seconds=300, session_id=None, role="auditor"
    )

    async def read(client: KubeClient) -> None:
        async def new_token() -> str:
            making = _by_issuer(options, request) if options.issuer else _by_key(client, options, request)
            return (await making)[0]

        gateway = await audit_tail.gateway_of(client, options.name, options.url, options.ca)
        wanted = audit_tail.Wanted(after=options.after, follow=options.follow)
        await audit_tail.tail(gateway, wanted, new_token=new_token, write=_write)

    _with_client(options, read)
    return 0


def _write(line: bytes) -> None:
    """At once: somebody may be waiting for it, or have stopped to."""
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


def _with_client(options: argparse.Namespace, ask: Callable[[KubeClient], Awaitable[T]]) -> T:
    found = credentials(options.kubeconfig, options.context, environ=os.environ, home=Path.home())

    async def run() -> T:
        async with KubeClient(found, random=random.random) as client:
            return await ask(client)

    return asyncio.run(run())
