"""What is remembered of all workspaces between reconciles: enough to route events, never to decide."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkhead import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bulkhead.plan.observed import Manifest

__all__ = ["Fleet", "Known"]


@dataclass(frozen=True, slots=True)
class Known:
    """One workspace as last seen."""

    uid: str
    namespace: str
    class_name: str | None
    phase: str


class Fleet:
    """Names of workspaces, by their namespace and by their class."""

    def __init__(self) -> None:
        self._known: dict[str, Known] = {}
        self._by_namespace: dict[str, str] = {}

    def __len__(self) -> int:
        return len(self._known)

    def see(self, workspace: Manifest) -> None:
        """Take in a TenantWorkspace as a watch, a list or a read brought it."""
        metadata = workspace["metadata"]
        name, uid = metadata["name"], metadata["uid"]
        spec, status = workspace.get("spec"), workspace.get("status")
        class_name = spec.get("className") if isinstance(spec, dict) else None
        phase = status.get("phase") if isinstance(status, dict) else None
        namespace = names.namespace(name, uid)
        before = self._known.get(name)
        if before is not None and before.namespace != namespace:
            self._by_namespace.pop(before.namespace, None)
        self._known[name] = Known(uid, namespace, class_name, str(phase or ""))
        self._by_namespace[namespace] = name

    def forget(self, name: str) -> None:
        """It is gone."""
        known = self._known.pop(name, None)
        if known is not None:
            self._by_namespace.pop(known.namespace, None)

    def owner_of(self, namespace: str) -> str | None:
        """The workspace whose namespace this is."""
        return self._by_namespace.get(namespace)

    def of_class(self, class_name: str) -> Iterable[str]:
        """Workspaces that use the class, or might, because they name none."""
        return [name for name, known in self._known.items() if known.class_name in {None, "", class_name}]

    def names(self) -> Iterable[str]:
        """All of them."""
        return list(self._known)

    def phases(self) -> Mapping[str, int]:
        """How many are in each phase."""
        return Counter(known.phase for known in self._known.values())
