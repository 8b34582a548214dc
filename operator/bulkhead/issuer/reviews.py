"""Who calls and what they may do: asked of the API server each time, because both may change any moment."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bulkhead import names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bulkhead.kube.client import KubeClient
    from bulkhead_wire.token import Role

__all__ = ["AUDIENCE", "Caller", "Reviews"]

_SUBRESOURCE: Final = {"user": "token", "auditor": "audit"}
AUDIENCE: Final = "bulkhead-issuer"
# As short as the kubelet's own: a withdrawn identity is refused within these seconds.
_REMEMBERED_SECONDS: Final = 10.0
_REMEMBERED: Final = 1024


@dataclass(frozen=True, slots=True)
class Caller:
    """An identity as the API server knows it."""

    username: str
    groups: tuple[str, ...]
    uid: str
    extra: Mapping[str, tuple[str, ...]]


class Reviews:
    """TokenReview and SubjectAccessReview. Only who somebody is is remembered, never what they may do."""

    def __init__(self, client: KubeClient, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._monotonic = monotonic
        self._known: OrderedDict[bytes, tuple[float, Caller | None]] = OrderedDict()

    async def caller(self, token: str) -> Caller | None:
        """Who holds the token; None: not one of this cluster's, or made for somebody else than the issuer.

        Only tokens of audience `bulkhead-issuer` count: one that the API server itself would accept must not
        travel here, where it could be taken and used there.
        """
        digest, now = hashlib.sha256(token.encode()).digest(), self._monotonic()
        if self.remembers(token):
            return self._known[digest][1]
        answer = await self._client.review("TokenReview", {"token": token, "audiences": [AUDIENCE]})
        found = _caller(answer.get("status") or {})
        self._known[digest] = (now, found)
        self._known.move_to_end(digest)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
        return found

    def remembers(self, token: str) -> bool:
        """Whether the API server need not be asked who this is."""
        known = self._known.get(hashlib.sha256(token.encode()).digest())
        return known is not None and self._monotonic() - known[0] < _REMEMBERED_SECONDS

    async def may_issue(self, caller: Caller, workspace: str, role: Role) -> bool:
        """Whether that caller may `create` `tenantworkspaces/token` of that name; for auditors `/audit`."""
        answer = await self._client.review(
            "SubjectAccessReview",
            {
                "user": caller.username,
                "groups": list(caller.groups),
                "uid": caller.uid,
                "extra": {key: list(values) for key, values in caller.extra.items()},
                "resourceAttributes": {
                    "group": names.GROUP,
                    "version": names.VERSION,
                    "resource": names.WORKSPACE_PLURAL,
                    "subresource": _SUBRESOURCE[role],
                    "name": workspace,
                    "verb": "create",
                },
            },
        )
        status = answer.get("status") or {}
        return status.get("allowed") is True and status.get("denied") is not True


def _caller(status: Mapping[str, Any]) -> Caller | None:
    """None unless every part of the answer says yes; an authenticator that knows no audiences lists none."""
    user = status.get("user") or {}
    if status.get("authenticated") is not True or AUDIENCE not in (status.get("audiences") or ()):
        return None
    if not user.get("username"):
        return None
    return Caller(
        username=user["username"],
        groups=tuple(user.get("groups") or ()),
        uid=user.get("uid") or "",
        extra={key: tuple(values) for key, values in (user.get("extra") or {}).items()},
    )
