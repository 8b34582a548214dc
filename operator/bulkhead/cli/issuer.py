"""`bulkhead token --issuer`: the same token from the issuer, for a caller that may not read keys."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson

from bulkhead import duration
from bulkhead.cli.problems import CannotTell, Refused
from bulkhead_wire.keys import encode_base64url

if TYPE_CHECKING:
    from pathlib import Path

    from bulkhead.issuer.request import TokenRequest

__all__ = ["IDENTITY_FILE", "Door", "ask"]

IDENTITY_FILE: Final = "/var/run/secrets/bulkhead-issuer/token"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15, sock_connect=5)
_MAX_ANSWER_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where the issuer is, whom to believe, and who we are."""

    url: str  # https://…
    ca_file: Path | None  # None: the system's authorities
    identity_file: Path  # a service account token of audience bulkhead-issuer


async def ask(door: Door, workspace: str, request: TokenRequest) -> tuple[str, tuple[str, ...]]:
    """The token and what its user should know; raises Refused or CannotTell."""
    if not door.url.startswith("https://"):
        raise CannotTell(
            f"--issuer {door.url}: an https:// URL is needed; an identity must not travel in clear"
        )
    identity = _read(door.identity_file, "--identity-file")
    body: dict[str, Any] = {
        "user": request.user,
        "scopes": list(request.scopes),
        "ttl": duration.format_seconds(request.ttl_seconds),
    }
    if request.role != "user":
        body["role"] = request.role
    if request.session_id is not None:
        body["session"] = encode_base64url(request.session_id)
    url = f"{door.url.rstrip('/')}/v1/workspaces/{workspace}/token"
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.post(
                url,
                json=body,
                headers={"Authorization": f"Bearer {identity}"},
                ssl=_context(door.ca_file),
                allow_redirects=False,
            ) as response,
        ):
            status, answer = response.status, _object(await response.content.read(_MAX_ANSWER_BYTES))
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CannotTell(f"POST {url}: {type(error).__name__}: {error}".rstrip(": ")) from error
    token = answer.get("token")
    if status == 201 and isinstance(token, str):
        return token, tuple(str(each) for each in answer.get("warnings") or ())
    said = f"{answer.get('title') or 'no answer of an issuer'}: {answer.get('detail') or f'HTTP {status}'}"
    if answer.get("field"):
        said = f"{answer['field']}: {said}"
    if status in {403, 404, 409, 422}:
        raise Refused(f"workspace {workspace}: {said}")
    raise CannotTell(f"POST {url}: {status} {said}")


def _context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise CannotTell(f"--issuer-ca {ca_file}: no file with PEM certificates") from error


def _read(path: Path, option: str) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise CannotTell(
            f"{option} {path}: {error.strerror}; it is a service account token of audience bulkhead-issuer"
        ) from error


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
