"""Requests for tables of admission tests: anybody may send them, and nothing that is admitted is kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from support.fenced import SPACE, with_uid

from kubelive.live import ApiRefusal, Resource

if TYPE_CHECKING:
    from kubelive.live import Live

__all__ = [
    "ADMITTED",
    "Outcome",
    "Request",
    "apply",
    "ask",
    "at",
    "create",
    "delete",
    "in_space",
    "made",
    "merge",
    "replace",
]

Manifest = dict[str, Any]

_POLICY = re.compile(r"AdmissionPolicy '([^']+)'")
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the API server said: its HTTP status, and the policy that refused, if one did."""

    status: int
    policy: str = ""
    message: str = ""


ADMITTED = Outcome(200)


@dataclass(frozen=True, slots=True)
class Request:
    """One call, as data."""

    method: str
    path: str
    body: Any = None
    content_type: str = "application/json"
    dry: bool = True  # connections know no dry run

    def by(self, live: Live) -> Outcome:
        """What becomes of it in that name."""
        path = self.path
        if self.dry:
            path += f"{'&' if '?' in path else '?'}dryRun=All"
        try:
            live.call(self.method, path, self.body, content_type=self.content_type)
        except ApiRefusal as refusal:
            policy = _POLICY.search(refusal.message)
            return Outcome(refusal.status, policy[1] if policy else "", refusal.message)
        return ADMITTED


def at(
    group_version: str,
    plural: str,
    name: str | None = None,
    *,
    namespace: str | None = None,
    sub: str | None = None,
) -> str:
    """The path of a collection, an object or a subresource."""
    return Resource(group_version, plural, namespaced=namespace is not None).path(namespace, name, sub)


def in_space(group_version: str, plural: str, name: str | None = None, sub: str | None = None) -> str:
    """The same in the workspace made by hand."""
    return at(group_version, plural, name, namespace=SPACE, sub=sub)


def ask(live: Live, request: Request, uid: str) -> Outcome:
    """The outcome with the workspace's real UID in the body."""
    body = with_uid(request.body, uid)
    return Request(request.method, request.path, body, request.content_type, request.dry).by(live)


def create(path: str, body: Manifest) -> Request:
    """POST."""
    return Request("POST", path, body)


def made(body: Manifest, plural: str) -> Request:
    """POST to where the body says."""
    return create(at(body["apiVersion"], plural, namespace=body["metadata"].get("namespace")), body)


def replace(path: str, body: Manifest) -> Request:
    """PUT."""
    return Request("PUT", path, body)


def merge(path: str, patch: Manifest) -> Request:
    """A merge patch."""
    return Request("PATCH", path, patch, _MERGE)


def apply(path: str, body: Manifest) -> Request:
    """Server-side apply with force: makes what is not there."""
    return Request("PATCH", f"{path}?fieldManager=admission-test&force=true", body, _APPLY)


def delete(path: str) -> Request:
    """DELETE of an object, or of a whole collection."""
    return Request("DELETE", path)
