"""Who may begin to use a class, and when a class may go: never both at the same moment.

Kubernetes has no transaction over two objects. A workspace that takes a class and a class that is let go
because nobody was seen to use it could miss each other; within the one process that leads they cannot. Two
leaders for a moment could: the workspace is then Stalled with UnknownClass, and what runs of it goes on.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bulkhead import names
from bulkhead.api.conditions import Reason
from bulkhead.api.parse import parse_class
from bulkhead.api.violation import Violation
from bulkhead.errors import Conflict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bulkhead.api.parse import ParsedClass, ParsedWorkspace
    from bulkhead.plan.observed import Manifest

__all__ = ["ClassUse", "LiveClass", "class_choice", "live_class"]


@dataclass(frozen=True, slots=True)
class LiveClass:
    """A WorkspaceClass as read, with what its release goes by."""

    parsed: ParsedClass
    is_going: bool
    is_held: bool  # carries our finalizer


def live_class(manifest: Manifest) -> LiveClass:
    """From what the API server sends."""
    metadata = manifest["metadata"]
    held = names.CLASS_FINALIZER in (metadata.get("finalizers") or ())
    return LiveClass(parse_class(manifest), "deletionTimestamp" in metadata, held)


def class_choice(
    workspace: ParsedWorkspace, class_name: str | None, classes: Mapping[str, LiveClass]
) -> Mapping[str, ParsedClass] | Violation:
    """The classes that this workspace may choose from; one that goes away takes nobody new."""
    staying = {name: cls.parsed for name, cls in classes.items() if not cls.is_going}
    accepted = names.FINALIZER in workspace.finalizers
    chosen = classes.get(class_name or "")
    if chosen is not None and chosen.is_going and not accepted:
        others = ", ".join(sorted(staying)) or "none is left"
        allowed = f"a WorkspaceClass that is not being deleted: {others}"
        return Violation(Reason.UNKNOWN_CLASS, "spec.className", chosen.parsed.name, allowed)
    if not accepted or (class_name is None and any(cls.is_default for cls in staying.values())):
        return staying
    return {name: cls.parsed for name, cls in classes.items()}


class ClassUse:
    """Two sides, neither of which waits: whoever is late is told so and looks again."""

    def __init__(self) -> None:
        self._moment = 0
        self._entering: Counter[str] = Counter()
        self._releasing: set[str] = set()
        self._released: dict[str, int] = {}

    def stamp(self) -> int:
        """Before classes are read: entering by what was read is refused if one was released since."""
        self._moment += 1
        return self._moment

    @contextmanager
    def entering(self, class_name: str, since: int) -> Iterator[None]:
        """Until the workspace can be seen to use the class; Conflict if it may just have been let go."""
        if class_name in self._releasing or self._released.get(class_name, 0) > since:
            raise _busy("enter", class_name)
        self._entering[class_name] += 1
        try:
            yield
        finally:
            self._entering[class_name] -= 1

    @contextmanager
    def releasing(self, class_name: str) -> Iterator[None]:
        """From before the workspaces are listed until the finalizer is off; Conflict while one enters."""
        if self._entering[class_name] or class_name in self._releasing:
            raise _busy("release", class_name)
        self._releasing.add(class_name)
        try:
            yield
        finally:
            self._releasing.discard(class_name)
            self._released[class_name] = self.stamp()


def _busy(verb: str, class_name: str) -> Conflict:
    message = "a workspace begins to use it, or it is being let go; tried again"
    return Conflict(verb, names.CLASS_KIND, None, class_name, status=None, reason="Busy", message=message)
