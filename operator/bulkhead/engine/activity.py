"""Asks a workspace's gateway when it last served a session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp
import orjson
from pydantic import AwareDatetime, TypeAdapter, ValidationError

from bulkhead import names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

__all__ = ["Activity", "ActivitySource", "GatewayActivity"]

_SECONDS: Final = 2.0
_LARGEST: Final = 4096  # bytes; the answer has two times in it
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

    async def ask(self, cluster_ip: str) -> Activity | None:
        """The gateway's answer; None: no answer that can be believed."""
        ...


class GatewayActivity:
    """Over HTTP, within the cluster, to the operator's own port."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def ask(self, cluster_ip: str) -> Activity | None:
        """The gateway's answer; None: unreachable, or nothing that can be believed."""
        host = f"[{cluster_ip}]" if ":" in cluster_ip else cluster_ip
        url = f"http://{host}:{names.GATEWAY_OPERATOR_PORT}/internal/v1/activity"
        try:
            async with self._session.get(
                url, timeout=aiohttp.ClientTimeout(total=_SECONDS), allow_redirects=False
            ) as response:
                if response.status != _OK:
                    return None
                return _activity(orjson.loads(await response.content.read(_LARGEST)))
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError, ValidationError):
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
