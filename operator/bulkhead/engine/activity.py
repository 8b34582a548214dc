"""Asks a workspace's gateway when it last served a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from pydantic import AwareDatetime, TypeAdapter, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from bulkhead.engine.door import Door

__all__ = ["Activity", "ActivitySource", "GatewayActivity"]

_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Activity:
    """What one gateway said."""

    started_at: datetime | None
    last_session_at: datetime | None

    @property
    def latest(self) -> datetime | None:
        """The newer of the two: a gateway that has just started knows nothing of what was before."""
        return max((at for at in (self.started_at, self.last_session_at) if at is not None), default=None)


class ActivitySource(Protocol):
    """Where activity comes from; a fake in tests."""

    async def ask(self, uid: str, cluster_ip: str) -> Activity | None:
        """The gateway's answer; None: no answer that can be believed."""
        ...


class GatewayActivity:
    """From the gateway itself, at the operator's own door."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def ask(self, uid: str, cluster_ip: str) -> Activity | None:
        """The gateway's answer; None: unreachable, or nothing that can be believed."""
        reply = await self._door.ask(uid, cluster_ip, "/internal/v1/activity")
        if reply is None or reply.status != _OK:
            return None
        try:
            return _activity(reply.json())
        except ValidationError:
            return None


_AWARE: Final = TypeAdapter(AwareDatetime | None)


def _activity(answer: object) -> Activity | None:
    if not isinstance(answer, dict):
        return None
    body: Mapping[str, object] = answer
    return Activity(
        started_at=_AWARE.validate_python(body.get("started_at")),
        last_session_at=_AWARE.validate_python(body.get("last_session_at")),
    )
