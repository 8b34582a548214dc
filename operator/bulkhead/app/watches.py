"""kopf hosts the watches: its handlers only route events, and it writes nothing anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import kopf
from aiohttp import TraceConfig
from typing_extensions import override

from bulkhead import names
from bulkhead.kube.session import open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import aiohttp

    from bulkhead.app.routing import Router
    from bulkhead.engine.clock import Clock
    from bulkhead.kube.auth import Credentials

__all__ = ["CHILDREN", "WATCHED", "WatchAges", "registry", "session", "settings"]

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
)
_POLICIES: Final = ("networking.k8s.io", "v1", "networkpolicies")
# Nodes are not watched: their status is written all the time (heartbeats, images), for facts needed rarely.
_RUNTIME_CLASSES: Final = ("node.k8s.io", "v1", "runtimeclasses")
_OURS: Final = (
    (names.GROUP, names.VERSION, names.WORKSPACE_PLURAL),
    (names.GROUP, names.VERSION, names.CLASS_PLURAL),
)
WATCHED: Final = (*_OURS, _POLICIES, _RUNTIME_CLASSES, *CHILDREN)
_OK: Final = 200
# A control plane may be away for minutes while it is upgraded; kopf's default gives up after 54 s.
_BACKOFFS: Final = (1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 55, 55, 55)


class WatchAges:
    """How long ago each watch was opened. kopf opens each anew within the server timeout, silent ones sooner.

    Events would tell nothing: a kind on which nothing happens has none.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._opened_at: dict[str, float] = {}  # plural -> monotonic

    def start(self) -> None:
        """From now on every watch is expected to be opened."""
        now = self._clock.monotonic()
        self._opened_at = {plural: now for _, _, plural in WATCHED}

    def seconds(self) -> dict[str, float]:
        """By plural; empty before the start."""
        now = self._clock.monotonic()
        return {plural: now - at for plural, at in self._opened_at.items()}

    def trace(self) -> TraceConfig:
        """Notices every watch whose answer has begun."""
        config = TraceConfig()
        config.on_request_end.append(self._on_answer)
        return config

    async def _on_answer(
        self, _session: object, _context: object, ended: aiohttp.TraceRequestEndParams
    ) -> None:
        if ended.response.status == _OK and ended.url.query.get("watch") == "true":
            self._opened_at[ended.url.name] = self._clock.monotonic()


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
    made.queueing.idle_timeout = (
        1.0  # a task an object seen lives so long: 5,000 in the first list cost 70 MB
    )
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


def registry(router: Router, login: Callable[[], kopf.AiohttpSession]) -> kopf.OperatorRegistry:
    """The watches, each with a handler that only routes."""
    made = kopf.OperatorRegistry()
    routes: list[tuple[tuple[str, str, str], Callable[[str | None, Mapping[str, Any]], None]]] = [
        (_OURS[0], router.workspace),
        (_OURS[1], router.workspace_class),
        (_POLICIES, router.policy),
        (_RUNTIME_CLASSES, router.runtime_class),
        *((child, router.child) for child in CHILDREN),
    ]
    for resource, route in routes:
        kopf.on.event(*resource, id=resource[2], registry=made)(_handler(route))

    async def log_in(**_: Any) -> kopf.AiohttpSession:
        return login()

    kopf.on.login(id="login", registry=made)(log_in)
    return made


def _handler(route: Callable[[str | None, Mapping[str, Any]], None]) -> Any:
    async def handle(*, event: Mapping[str, Any], **_: Any) -> None:
        route(event["type"], event["object"])

    return handle


def session(credentials: Credentials, ages: WatchAges) -> kopf.AiohttpSession:
    """A connection for kopf alone, with our way of authentication; kopf closes it."""
    opened = open_session(
        credentials, connections=0, user_agent=f"{names.FIELD_MANAGER}/watches", trace_configs=(ages.trace(),)
    )
    return kopf.AiohttpSession(server=credentials.server, aiohttp_session=opened)
