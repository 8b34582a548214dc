"""`bulkhead token`: a session token for one user of one workspace, signed with the workspace's key.

Whoever can read the signing key can speak as any user of that workspace. The right to do so is the right to
`get` Secrets in the operator's namespace (Role bulkhead-token-issuer), checked by the API server, not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bulkhead import names
from bulkhead.cli.problems import CannotTell, Refused, from_kube
from bulkhead.errors import Forbidden, KubeError, NotFound
from bulkhead.issuer import mint

if TYPE_CHECKING:
    from bulkhead.issuer.request import TokenRequest
    from bulkhead.kube.client import KubeClient

__all__ = ["Fresh", "issue"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """Randomness for one token, 16 bytes each."""

    session_id: bytes
    token_id: bytes


async def issue(  # one token, each part named
    client: KubeClient,
    name: str,
    request: TokenRequest,
    *,
    operator_namespace: str,
    now: float,
    fresh: Fresh,
) -> tuple[str, tuple[str, ...]]:
    """The token and what its user should know; raises Refused or CannotTell."""
    workspace = await _workspace(client, name)
    try:
        key = await mint.signing_key(client, workspace, operator_namespace)
        made = mint.make(
            workspace, key, request, now=now, session_id=fresh.session_id, token_id=fresh.token_id
        )
    except mint.NoKey as error:
        raise Refused(f"{error}; is --operator-namespace right?") from error
    except mint.NotMade as error:
        raise Refused(
            str(error).replace("a user is", "--user is").replace("a scope is", "--scope is")
        ) from error
    except mint.UnusableKey as error:
        raise CannotTell(str(error)) from None
    except Forbidden as error:
        raise CannotTell(
            f"{error}; tokens need the Role bulkhead-token-issuer in namespace {operator_namespace}"
        ) from error
    except KubeError as error:
        raise from_kube(error) from error
    return made.reveal(), mint.warnings(workspace, request.scopes)


async def _workspace(client: KubeClient, name: str) -> dict[str, Any]:
    try:
        return await client.get(names.WORKSPACE_KIND, name)
    except NotFound as error:
        raise Refused(f"there is no workspace {name}; `bulkhead status` lists them") from error
    except KubeError as error:
        raise from_kube(error) from error
