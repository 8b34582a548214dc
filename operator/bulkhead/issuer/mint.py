"""From a workspace, its key and a request to a signed token: the one place that signs session tokens."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from bulkhead import names
from bulkhead.errors import BulkheadError
from bulkhead_wire import token as wire
from bulkhead_wire.keys import InvalidKey
from bulkhead_wire.token import ID_BYTES

if TYPE_CHECKING:
    from bulkhead.issuer.request import TokenRequest
    from bulkhead.kube.client import KubeClient
    from bulkhead.plan.observed import Manifest

__all__ = ["ID_BYTES", "Made", "NoKey", "NotMade", "UnusableKey", "make", "signing_key", "warnings"]

_TOOL_SCOPE: Final = "tools:call:"
SCOPES_ALLOWED: Final = (
    "session, chat, embed, tools:list, tools:call:NAME, or for an auditor audit:read; each once, "
    "without wildcards"
)
USERS_ALLOWED: Final = "1 to 64 of A-Z a-z 0-9 _ . : -"


class NotMade(BulkheadError):
    """The workspace takes no such session; the message is for whoever asked."""


class NoKey(NotMade):
    """The workspace has no signing key yet, or none any more."""


class UnusableKey(BulkheadError):
    """The Secret is there and holds no key; a person must look. Never says what it holds."""


@dataclass(frozen=True, slots=True)
class Made:
    """A token, which never shows, and what may be said of it."""

    claims: wire.SessionClaims
    _token: str

    def reveal(self) -> str:
        """The token, for the one who asked."""
        return self._token

    @override
    def __repr__(self) -> str:
        return f"Made({self.claims!r}, ***)"


def make(
    workspace: Manifest,
    key: wire.SigningKey,
    request: TokenRequest,
    *,
    now: float,
    session_id: bytes,
    token_id: bytes,
) -> Made:
    """The token; NotMade if the workspace goes away, or if a gateway would refuse what was asked for."""
    metadata, spec = workspace["metadata"], workspace.get("spec") or {}
    try:
        claims = wire.new_claims(
            workspace_uid=metadata["uid"],
            tenant_id=spec.get("tenantID") or metadata["name"],
            subject=request.user,
            scopes=request.scopes,
            epoch=spec.get("sessionEpoch") or 0,
            now=now,
            ttl_seconds=request.ttl_seconds,
            session_id=request.session_id or session_id,
            token_id=token_id,
            role=request.role,
        )
    except ValueError as error:
        raise NotMade(f"{error}; a user is {USERS_ALLOWED} and a scope is {SCOPES_ALLOWED}") from error
    return Made(claims, wire.sign(claims, key))


async def signing_key(client: KubeClient, workspace: Manifest, operator_namespace: str) -> wire.SigningKey:
    """The workspace's private key; NoKey or UnusableKey."""
    metadata = workspace["metadata"]
    name = metadata["name"]
    if metadata.get("deletionTimestamp"):
        raise NotMade(f"workspace {name} is being deleted: it takes no new sessions")
    secret = await client.find("Secret", names.signing_key(metadata["uid"]), operator_namespace)
    if secret is None:
        raise NoKey(
            f"workspace {name} has no signing key in namespace {operator_namespace}; {_why(workspace)}"
        )
    try:
        return wire.SigningKey.from_pem(base64.b64decode(secret["data"]["private.pem"], validate=True))
    except (KeyError, TypeError, binascii.Error, InvalidKey):
        # Without the cause: nothing that was read from the Secret may reach a log or a terminal.
        where = f"{operator_namespace}/{names.signing_key(metadata['uid'])}"
        raise UnusableKey(
            f"get Secret {where}: it holds no usable key; delete it and the operator makes a new one"
        ) from None


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


def _why(workspace: dict[str, Any]) -> str:
    """What the workspace itself says about not being there yet."""
    for condition in (workspace.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Ready" and condition.get("status") != "True":
            return f"it is not Ready: {condition.get('reason')}: {condition.get('message')}"
    return "it says nothing about why"
