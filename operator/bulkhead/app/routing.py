"""From a watch event to the workspaces and classes that must be looked at: enqueue keys, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bulkhead import names
from bulkhead.engine.classes import class_key
from bulkhead.engine.queue import Priority

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bulkhead.app.relevance import Relevance
    from bulkhead.engine.echoes import Echoes
    from bulkhead.engine.facts import FactsSource
    from bulkhead.engine.fleet import Fleet
    from bulkhead.engine.queue import WorkQueue
    from bulkhead.engine.spread import Spread

__all__ = ["NAMESPACE_PREFIX", "Router"]

NAMESPACE_PREFIX: Final = "bh-"
_DELETED: Final = "DELETED"


class Router:
    """What each kind's events mean; synchronous, so that order is kept."""

    def __init__(
        self,
        *,
        queue: WorkQueue,
        spread: Spread,
        fleet: Fleet,
        facts: FactsSource,
        echoes: Echoes,
        relevance: Relevance,
    ) -> None:
        self._queue = queue
        self._spread = spread
        self._facts = facts
        self._fleet = fleet
        self._echoes = echoes
        self._relevance = relevance

    def workspace(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """A TenantWorkspace itself; `kind` None is the list at start: all at once, at low priority."""
        name = body["metadata"]["name"]
        if kind == _DELETED:
            self._fleet.forget(name)
        else:
            self._fleet.see(dict(body))
        if kind == _DELETED or not self._echoes.is_echo(body):
            self._queue.add(name, Priority.BACKGROUND if kind is None else Priority.FRESH)

    def workspace_class(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """A class changed: itself, and in turn every workspace that uses it or might."""
        name = body["metadata"]["name"]
        known = name in self._fleet.class_names()
        if kind == _DELETED:
            self._fleet.forget_class(name)
        changed = kind == _DELETED or self._fleet.see_class(dict(body))
        if kind is None and not known:
            return  # the list at start: the sweep brings them all
        if not self._echoes.is_echo(body):
            self._queue.add(class_key(name))
        if changed:  # by a spec, not by a status
            self._spread.add(self._fleet.of_class(name))

    def runtime_class(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """A RuntimeClass came or went: every class that names it, and every workspace of those."""
        self._facts.invalidate()
        if kind is None:
            return  # a list: whoever runs next reads anew
        for name in self._fleet.classes_with(body["metadata"]["name"]):
            self._queue.add(class_key(name))
            self._spread.add(self._fleet.of_class(name))

    def child(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """An object that carries our labels; the list at start says nothing new."""
        news = self._relevance.is_news(kind, body)  # asked always: it must see every state to compare with
        if kind is None or not news or self._echoes.is_echo(body):
            return
        if owner := self._owner(body["metadata"]):
            self._queue.add(owner)

    def policy(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """A NetworkPolicy, ours or not: inside a workspace's namespace a foreign one opens ways."""
        if str(body["metadata"].get("namespace", "")).startswith(NAMESPACE_PREFIX):
            self.child(kind, body)

    def _owner(self, metadata: Mapping[str, Any]) -> str | None:
        """By namespace where there is one: a label can be forged or taken off, a namespace cannot be left."""
        namespace = metadata.get("namespace") or metadata["name"]
        label = (metadata.get("labels") or {}).get(names.WORKSPACE_LABEL)
        return self._fleet.owner_of(namespace) or label
