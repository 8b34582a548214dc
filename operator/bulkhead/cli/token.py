"""`bulkhead token`: a session token for one user of one workspace, signed with the workspace's key.

Whoever can read the signing key can speak as any user of that workspace. The right to do so is the right to
`get` Secrets in the operator's namespace (Role bulkhead-token-issuer), checked by the API server, not here.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bulkhead import names
from bulkhead.cli.problems import CannotTell, Refused, from_kube
from bulkhead.errors import Forbidden, KubeError, NotFound
from bulkhead_wire import token as wire
from bulkhead_wire.keys import InvalidKey

if TYPE_CHECKING:
    from bulkhead.kube.client import KubeClient

__all__ = ["TokenRequest", "issue", "warnings"]

_TOOL_SCOPE: Final = "tools:call:"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What was asked for on the command line."""

    workspace: str
    user: str
    scopes: tuple[str, ...]
    ttl_seconds: int
    session_id: bytes  # 16 bytes
    token_id: bytes  # 16 bytes, fresh randomness


async def issue(
    client: KubeClient, request: TokenRequest, *, operator_namespace: str, now: float
) -> tuple[str, tuple[str, ...]]:
    """The token and what its user should know; raises Refused or CannotTell."""
    workspace = await _workspace(client, request.workspace)
    metadata, spec = workspace["metadata"], workspace.get("spec") or {}
    if metadata.get("deletionTimestamp"):
        raise Refused(f"workspace {request.workspace} is being deleted: it takes no new sessions")
    try:
        claims = wire.new_claims(
            workspace_uid=metadata["uid"],
            tenant_id=spec.get("tenantID") or request.workspace,
            subject=request.user,
            scopes=request.scopes,
            epoch=spec.get("sessionEpoch") or 0,
            now=now,
            ttl_seconds=request.ttl_seconds,
            session_id=request.session_id,
            token_id=request.token_id,
        )
    except ValueError as error:
        raise Refused(
            f"{error}; --user is 1 to 64 of A-Z a-z 0-9 _ . : - and --scope is session, tools:list or "
            "tools:call:NAME, each once, without wildcards"
        ) from error
    key = await _signing_key(client, workspace, operator_namespace)
    return wire.sign(claims, key), warnings(workspace, request.scopes)


def warnings(workspace: dict[str, Any], scopes: tuple[str, ...]) -> tuple[str, ...]:
    """What makes the token useless for now, though it is valid."""
    name, spec = workspace["metadata"]["name"], workspace.get("spec") or {}
    found = []
    if (spec.get("lifecycle") or {}).get("suspended"):
        found.append(f"workspace {name} is suspended: its gateway does not answer")
    tools = {tool["name"] for tool in spec.get("tools") or ()}
    asked = {scope.removeprefix(_TOOL_SCOPE) for scope in scopes if scope.startswith(_TOOL_SCOPE)}
    found += [f"workspace {name} has no tool {tool}" for tool in sorted(asked - tools)]
    return tuple(found)


async def _workspace(client: KubeClient, name: str) -> dict[str, Any]:
    try:
        return await client.get(names.WORKSPACE_KIND, name)
    except NotFound as error:
        raise Refused(f"there is no workspace {name}; `bulkhead status` lists them") from error
    except KubeError as error:
        raise from_kube(error) from error


async def _signing_key(
    client: KubeClient, workspace: dict[str, Any], operator_namespace: str
) -> wire.SigningKey:
    name = workspace["metadata"]["name"]
    try:
        secret = await client.get(
            "Secret", names.signing_key(workspace["metadata"]["uid"]), operator_namespace
        )
    except NotFound as error:
        raise Refused(
            f"workspace {name} has no signing key in namespace {operator_namespace}; {_why(workspace)}"
        ) from error
    except Forbidden as error:
        raise CannotTell(
            f"{error}; tokens need the Role bulkhead-token-issuer in namespace {operator_namespace}"
        ) from error
    except KubeError as error:
        raise from_kube(error) from error
    try:
        return wire.SigningKey.from_pem(base64.b64decode(secret["data"]["private.pem"], validate=True))
    except (KeyError, TypeError, binascii.Error, InvalidKey):
        # Without the cause: nothing that was read from the Secret may reach a terminal.
        raise CannotTell(
            f"get Secret {operator_namespace}/{names.signing_key(workspace['metadata']['uid'])}: "
            "it holds no usable key; delete it and the operator makes a new one"
        ) from None


def _why(workspace: dict[str, Any]) -> str:
    """What the workspace itself says about not being there yet."""
    for condition in (workspace.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            return f"it is not Ready: {condition.get('reason')}: {condition.get('message')}"
    return "is --operator-namespace right?"
