"""`bulkhead audit tail`: the records of a gateway's audit log as they stand in its files, one a line.

Whoever may make a token may make an auditor's; that the log was read, and by whom, is on record as well.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import aiohttp

from bulkhead import names
from bulkhead.cli.problems import CannotTell, Refused, from_kube
from bulkhead.errors import KubeError, NotFound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from bulkhead.kube.client import KubeClient

__all__ = ["SCOPE", "Gateway", "Wanted", "gateway_of", "tail"]

SCOPE: Final = "audit:read"

_TIMEOUT: Final = aiohttp.ClientTimeout(total=30, sock_connect=5)
_PAGE: Final = 500
_PAUSE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """Where to connect, and the name that its certificate must bear."""

    url: str
    host: str
    ca_file: Path | None  # None: the system's authorities; unused for http


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which records: behind number `after` (-1: from the first), and whether to wait for more."""

    after: int
    follow: bool


async def gateway_of(client: KubeClient, name: str, url: str | None, ca_file: Path | None) -> Gateway:
    """The workspace's gateway, reached at `url` if given; Refused while it has none."""
    try:
        workspace = await client.get(names.WORKSPACE_KIND, name)
    except NotFound as error:
        raise Refused(f"there is no workspace {name}; `bulkhead status` lists them") from error
    except KubeError as error:
        raise from_kube(error) from error
    own = ((workspace.get("status") or {}).get("gateway") or {}).get("url")
    if not isinstance(own, str) or not own:
        raise Refused(f"workspace {name} has no gateway yet; `bulkhead status {name}` says why")
    return Gateway(url=(url or own).rstrip("/"), host=urlsplit(own).hostname or "", ca_file=ca_file)


async def tail(
    gateway: Gateway,
    wanted: Wanted,
    *,
    new_token: Callable[[], Awaitable[str]],
    write: Callable[[bytes], object],
) -> None:
    """Write each record once, in order; a token that has run out is replaced by a new one."""
    after = wanted.after
    context = _context(gateway)
    token = await new_token()
    async with aiohttp.ClientSession(timeout=_TIMEOUT, trust_env=False) as session:
        while True:
            status, body = await _page(session, gateway, context, token, after)
            if status == 401:
                token = await new_token()
                status, body = await _page(session, gateway, context, token, after)
            if status != 200:
                raise CannotTell(f"GET {gateway.url}/v1/audit/records: {_said(status, body)}")
            lines = body.splitlines(keepends=True)
            for line in lines:
                write(line)
            after += len(lines)  # records have no gaps: that they follow each other is for `verify` to say
            if len(lines) == _PAGE:
                continue
            if not wanted.follow:  # not until nothing comes: that this page was read is a record already
                return
            await asyncio.sleep(_PAUSE_SECONDS)


async def _page(
    session: aiohttp.ClientSession,
    gateway: Gateway,
    context: ssl.SSLContext | bool,  # noqa: FBT001 - aiohttp's own type
    token: str,
    after: int,
) -> tuple[int, bytes]:
    query = {"limit": str(_PAGE)} | ({"after_seq": str(after)} if after >= 0 else {})
    try:
        async with session.get(
            f"{gateway.url}/v1/audit/records",
            params=query,
            headers={"Authorization": f"Bearer {token}"},
            ssl=context,
            server_hostname=gateway.host if gateway.url.startswith("https://") else None,
            allow_redirects=False,
        ) as response:
            return response.status, await response.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CannotTell(
            f"GET {gateway.url}: {type(error).__name__}: {error}; only the class's gateway.clients reach a "
            "gateway: run this there, or give --url"
        ) from error


def _context(gateway: Gateway) -> ssl.SSLContext | bool:
    if not gateway.url.startswith("https://"):
        return True
    try:
        return ssl.create_default_context(cafile=gateway.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CannotTell(f"--ca {gateway.ca_file}: {error}") from error


def _said(status: int, body: bytes) -> str:
    """What the gateway's problem document says, if it is one."""
    try:
        problem: Any = json.loads(body)
    except ValueError:
        problem = None
    title = problem.get("title") if isinstance(problem, dict) else None
    return f"{status} {title or 'not an answer of a gateway'}"
