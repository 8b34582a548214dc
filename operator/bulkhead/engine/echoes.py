"""Remembers what we wrote, so that the watch's report of it is not taken for news.

An event whose object has exactly the resourceVersion that our own write returned says nothing that the
reconcile did not already know. Any later change has another resourceVersion and passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Echoes"]

_REMEMBERED: Final = 8192


class Echoes:
    """A bounded memory of (UID, resourceVersion) pairs; forgetting one costs one needless reconcile."""

    def __init__(self) -> None:
        self._written: dict[tuple[str, str], None] = {}

    def remember(self, live: Mapping[str, Any]) -> None:
        """The API server's answer to a write of ours."""
        self._written[_identity(live)] = None
        while len(self._written) > _REMEMBERED:
            del self._written[next(iter(self._written))]

    def is_echo(self, live: Mapping[str, Any]) -> bool:
        """Whether this very state came from us; asked once a watch event, so it is forgotten by asking."""
        return self._written.pop(_identity(live), self) is None


def _identity(live: Mapping[str, Any]) -> tuple[str, str]:
    metadata = live["metadata"]
    return metadata.get("uid", ""), metadata.get("resourceVersion", "")
