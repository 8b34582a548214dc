"""The audit log, for auditors and for the operator: as it stands in the file, and signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web

from bulkhead_sandbox.gateway.http.answers import json_answer
from bulkhead_sandbox.gateway.http.bodies import whole_number
from bulkhead_sandbox.gateway.http.calls import Call, Route
from bulkhead_sandbox.gateway.trail import Trail

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["AuditLog", "AuditRoutes", "records_answer"]

MAX_RECORDS: Final = 500
_MAX_SEQ: Final = 2**53 - 1


class Head(Protocol):
    """Where the log ends, signed."""

    def wire(self) -> dict[str, Any]:
        """Its members; `checkpoint` is the signed part."""


class AuditLog(Trail, Protocol):
    """A trail that can also be read."""

    @property
    def healthy(self) -> bool:
        """Whether records can be made."""

    @property
    def seq(self) -> int:
        """The last record on disk."""

    def lag_seconds(self) -> float:
        """How long the oldest record waits to be written."""

    async def head(self) -> Head:
        """What is on the disk now."""

    async def records(self, after_seq: int, limit: int) -> Sequence[bytes]:
        """Whole lines, in order."""


class AuditRoutes:
    """Auditors read; who does is on record as well."""

    def __init__(self, audit: AuditLog) -> None:
        self._audit = audit

    def routes(self) -> tuple[Route, ...]:
        """For the surface."""
        scope = "audit:read"
        return (
            Route(method="GET", path="/v1/audit/records", scope=scope, handler=self._records, role="auditor"),
            Route(
                method="GET",
                path="/v1/audit/checkpoint",
                scope=scope,
                handler=self._checkpoint,
                role="auditor",
            ),
        )

    async def _records(self, call: Call) -> web.Response:
        response = await records_answer(call.request, self._audit)
        await self._audit.point("auth", "allow", why="audit-read", **call.who)
        return response

    async def _checkpoint(self, _call: Call) -> web.Response:
        head = await self._audit.head()
        return json_answer(head.wire()["checkpoint"])


async def records_answer(request: web.Request, audit: AuditLog) -> web.Response:
    """The records that `after_seq` and `limit` ask for, one a line."""
    after = whole_number(request, "after_seq", default=-1, least=0, most=_MAX_SEQ)
    limit = whole_number(request, "limit", default=MAX_RECORDS, least=1, most=MAX_RECORDS)
    return web.Response(body=b"".join(await audit.records(after, limit)), content_type="application/x-ndjson")
