"""A caller as the audit log names it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from bulkhead_wire.token import SessionClaims

__all__ = ["Who", "audited"]


class Who(TypedDict, total=False):
    """The members of an audit record that say who; none of them is a secret."""

    rid: str
    sub: str
    sid: str
    jti: str
    act: list[str]
    scope: str


def audited(claims: SessionClaims, request_id: str) -> Who:
    """Who made the request, and for whom."""
    who = Who(
        rid=request_id,
        sub=claims.subject,
        sid=claims.session_id,
        jti=claims.token_id,
        scope=" ".join(claims.scopes),
    )
    if claims.actors:
        who["act"] = list(claims.actors)
    return who
