"""kopf hosts the watches: its handlers only route events, and it writes nothing anywhere."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import kopf
from typing_extensions import override

from bulkhead import names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bulkhead.app.routing import Router
    from bulkhead.kube.auth import Credentials

__all__ = ["CHILDREN", "registry", "settings"]

# Kinds seen through the label selector; Secrets are not watched: that would take the right to read them all.
CHILDREN: Final = (
    ("", "v1", "namespaces"),
    ("", "v1", "limitranges"),
    ("", "v1", "persistentvolumeclaims"),
    ("", "v1", "pods"),
    ("", "v1", "resourcequotas"),
    ("", "v1", "serviceaccounts"),
    ("", "v1", "services"),
    ("apps", "v1", "deployments"),
    ("rbac.authorization.k8s.io", "v1", "rolebindings"),
    ("rbac.authorization.k8s.io", "v1", "roles"),
)
_POLICIES: Final = ("networking.k8s.io", "v1", "networkpolicies")
_OURS: Final = (
    (names.GROUP, names.VERSION, names.WORKSPACE_PLURAL),
    (names.GROUP, names.VERSION, names.CLASS_PLURAL),
)
# A control plane may be away for minutes while it is upgraded; kopf's default gives up after 54 s.
_BACKOFFS: Final = (1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 55, 55, 55)


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no snapshot: nothing here compares with the last handled state."""

    @override
    def build(self, **_: Any) -> Any:
        return {}

    @override
    def fetch(self, **_: Any) -> Any:
        return None

    @override
    def store(self, **_: Any) -> None:
        return None


def settings() -> kopf.OperatorSettings:
    """A pure watcher: no peering, no posting, no scanning, no annotation, bounded streams."""
    made = kopf.OperatorSettings()
    made.peering.standalone = True
    made.posting.enabled = False
    made.scanning.disabled = True
    made.watching.server_timeout = 600
    made.watching.connect_timeout = 10
    made.watching.chunk_size = 500
    for group, version, plural in CHILDREN:
        made.watching.label_selectors[group, version, plural] = names.MANAGED_SELECTOR
    made.networking.request_timeout = 30
    made.networking.connect_timeout = 10
    made.networking.error_backoffs = _BACKOFFS
    made.networking.enforce_retry_after = True
    made.persistence.finalizer = f"{names.GROUP}/unused-by-kopf"
    made.persistence.diffbase_storage = _NoDiffBase()
    made.process.ultimate_exiting_timeout = 20
    return made


def registry(router: Router, login: Callable[[], Credentials]) -> kopf.OperatorRegistry:
    """The watches, each with a handler that only routes."""
    made = kopf.OperatorRegistry()
    routes: list[tuple[tuple[str, str, str], Callable[[str | None, Mapping[str, Any]], None]]] = [
        (_OURS[0], router.workspace),
        (_OURS[1], router.workspace_class),
        (_POLICIES, router.policy),
        *((child, router.child) for child in CHILDREN),
    ]
    for resource, route in routes:
        kopf.on.event(*resource, id=resource[2], registry=made)(_handler(route))

    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return _connection(login())

    kopf.on.login(id="login", registry=made)(log_in)
    return made


def _handler(route: Callable[[str | None, Mapping[str, Any]], None]) -> Any:
    async def handle(*, event: Mapping[str, Any], **_: Any) -> None:
        route(event["type"], event["object"])

    return handle


def _connection(credentials: Credentials) -> kopf.ConnectionInfo:
    """Certificates as files and the token as it is now: after a 401 kopf logs in again."""
    token = credentials.token
    if credentials.token_file is not None:
        token = credentials.token_file.read_text().strip()
    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_path=_file(credentials.ca_data.encode() if credentials.ca_data else None),
        insecure=not credentials.verify,
        token=token,
        certificate_path=_file(credentials.client_certificate),
        private_key_path=_file(credentials.client_key),
        default_namespace=credentials.namespace,
    )


def _file(content: bytes | None) -> str | None:
    """A private temporary file; only development outside of a cluster has client certificates."""
    if content is None:
        return None
    with tempfile.NamedTemporaryFile(prefix="bulkhead-", delete=False) as file:
        file.write(content)
    Path(file.name).chmod(0o600)
    return file.name
