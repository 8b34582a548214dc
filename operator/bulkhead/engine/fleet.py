"""What is remembered of all workspaces and classes between reconciles: enough to route events, not to decide.

The one decision that asks who uses a class fills a fleet of its own from fresh lists: `Fleet.of`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from bulkhead import names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from bulkhead.plan.observed import Manifest

__all__ = ["Fleet", "Known", "KnownClass"]


@dataclass(frozen=True, slots=True)
class Known:
    """One workspace as last seen."""

    uid: str
    namespace: str
    class_name: str | None
    phase: str
    uses_class: bool


@dataclass(frozen=True, slots=True)
class KnownClass:
    """What of a class its workspaces must hear of, should it change."""

    uid: str
    generation: int
    is_default: bool
    is_going: bool
    runtime_class: str | None


def _nobody(_class_name: str) -> None:
    pass


class Fleet:
    """Workspaces by name, namespace and class."""

    def __init__(self, on_use: Callable[[str], None] = _nobody) -> None:
        self._on_use = on_use  # who uses the class of that name may have changed
        self._known: dict[str, Known] = {}
        self._by_namespace: dict[str, str] = {}
        self._classes: dict[str, KnownClass] = {}
        self.complete = False  # everything has been listed once

    @classmethod
    def of(cls, workspaces: Iterable[Manifest], classes: Iterable[Manifest]) -> Self:
        """From fresh lists."""
        made = cls()
        for each in classes:
            made.see_class(each)
        for each in workspaces:
            made.see(each)
        return made

    def __len__(self) -> int:
        return len(self._known)

    def see(self, workspace: Manifest) -> None:
        """Take in a TenantWorkspace as a watch, a list or a read brought it."""
        metadata = workspace["metadata"]
        name, uid = metadata["name"], metadata["uid"]
        status = workspace.get("status")
        phase = status.get("phase") if isinstance(status, dict) else None
        namespace = names.namespace(name, uid)
        before = self._known.get(name)
        if before is not None and before.namespace != namespace:
            self._by_namespace.pop(before.namespace, None)
        after = Known(uid, namespace, _class_name(workspace), str(phase or ""), _uses_class(workspace))
        self._known[name] = after
        self._by_namespace[namespace] = name
        if before is None or (before.class_name, before.uses_class) != (after.class_name, after.uses_class):
            self._tell(before, after)

    def forget(self, name: str) -> None:
        """It is gone."""
        known = self._known.pop(name, None)
        if known is not None:
            self._by_namespace.pop(known.namespace, None)
            self._tell(known)

    def see_class(self, cls: Manifest) -> bool:
        """Take in a WorkspaceClass; whether anything that its workspaces go by has changed."""
        metadata, spec = cls["metadata"], cls.get("spec")
        isolation = spec.get("isolation") if isinstance(spec, dict) else None
        before = self._classes.get(metadata["name"])
        annotations = metadata.get("annotations") or {}
        after = self._classes[metadata["name"]] = KnownClass(
            metadata["uid"],
            metadata.get("generation", 0),
            annotations.get(names.DEFAULT_CLASS_ANNOTATION) == "true",
            "deletionTimestamp" in metadata,
            isolation.get("runtimeClassName") if isinstance(isolation, dict) else None,
        )
        return before != after

    def forget_class(self, name: str) -> None:
        """It is gone."""
        self._classes.pop(name, None)

    def owner_of(self, namespace: str) -> str | None:
        """The workspace whose namespace this is."""
        return self._by_namespace.get(namespace)

    def of_class(self, class_name: str) -> Iterable[str]:
        """Workspaces that name the class, or might mean it, because they name none."""
        return [name for name, known in self._known.items() if known.class_name in {None, "", class_name}]

    def users(self, class_name: str) -> list[str]:
        """Workspaces that go by the class, sorted."""
        default = self.default_class()
        return sorted(
            name
            for name, known in self._known.items()
            if known.uses_class and (known.class_name or default) == class_name
        )

    def default_class(self) -> str | None:
        """The class of workspaces that name none: one that is going away counts only while no other does."""
        for going in (False, True):
            found = [n for n, cls in self._classes.items() if cls.is_default and cls.is_going is going]
            if found:
                return found[0] if len(found) == 1 else None
        return None

    def classes_with(self, runtime_class: str) -> list[str]:
        """Classes that name this RuntimeClass."""
        return [name for name, cls in self._classes.items() if cls.runtime_class == runtime_class]

    def names(self) -> Iterable[str]:
        """All workspaces."""
        return list(self._known)

    def class_names(self) -> Iterable[str]:
        """All classes."""
        return list(self._classes)

    def phases(self) -> Mapping[str, int]:
        """How many are in each phase."""
        return Counter(known.phase for known in self._known.values())

    def _tell(self, *changed: Known | None) -> None:
        defaults = [name for name, cls in self._classes.items() if cls.is_default]
        told: dict[str, None] = {}
        for known in changed:
            if known is not None:
                told.update(dict.fromkeys([known.class_name] if known.class_name else defaults))
        for name in told:
            self._on_use(name)


def _class_name(workspace: Manifest) -> str | None:
    spec = workspace.get("spec")
    found = spec.get("className") if isinstance(spec, dict) else None
    return found if isinstance(found, str) and found else None


def _uses_class(workspace: Manifest) -> bool:
    """Accepted, or not judged yet. Refused before anything was made: then it holds no class."""
    metadata, status = workspace["metadata"], workspace.get("status")
    if names.FINALIZER in (metadata.get("finalizers") or ()):
        return True
    if "deletionTimestamp" in metadata:
        return False
    conditions: list[Any] = (status.get("conditions") or []) if isinstance(status, dict) else []
    return not any(
        each.get("type") == "Stalled" and each.get("status") == "True"
        for each in conditions
        if isinstance(each, dict)
    )
