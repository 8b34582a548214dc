"""The API server in a few verbs: apply, get, list, create, replace, delete, finalizers, status.

Manifests are plain dicts. Every call has a deadline, runs under one bound of concurrency, raises the typed
errors of `bulkhead.errors`, and is repeated on 429, 5xx and lost connections when repeating cannot do harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypeAlias

import aiohttp
import orjson

from bulkhead.errors import Gone, KubeError, NotFound, Unavailable
from bulkhead.kube.answers import Call, error_of
from bulkhead.kube.resources import resource
from bulkhead.kube.retry import RetryPolicy
from bulkhead.kube.session import open_session
from bulkhead.names import FIELD_MANAGER

if TYPE_CHECKING:
    from bulkhead.kube.auth import Credentials
    from bulkhead.plan.observed import Manifest

__all__ = ["KubeClient", "Observer"]

Observer = Callable[[Call, int | None, float], None]  # call, HTTP status or None, seconds; for metrics

_Manifests: TypeAlias = "list[Manifest]"  # inside the class `list` is the verb

_APPLY: Final = "application/apply-patch+yaml"  # JSON is YAML
_MERGE: Final = "application/merge-patch+json"
_JSON: Final = "application/json"
_RETRY: Final = RetryPolicy()
_CHUNK: Final = 500  # objects a page of a list
_OK: Final = 400  # first status that is an error


def _ignore(_call: Call, _status: int | None, _seconds: float) -> None:
    pass


class KubeClient:
    """One session to one API server; open it with `async with`."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        random: Callable[[], float],
        concurrency: int = 32,
        timeout_seconds: float = 10.0,
        retry: RetryPolicy = _RETRY,
        observer: Observer = _ignore,
    ) -> None:
        self._credentials = credentials
        self._random = random
        self._connections = concurrency
        self._slots = asyncio.Semaphore(concurrency)
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds, sock_connect=min(5.0, timeout_seconds))
        self._retry = retry
        self._observer = observer
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = open_session(
            self._credentials, connections=self._connections, user_agent=f"{FIELD_MANAGER}/operator"
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def get(self, kind: str, name: str, namespace: str | None = None) -> Manifest:
        """The live object; NotFound if there is none."""
        return await self._call(
            Call("get", kind, namespace, name), "GET", resource(kind).path(namespace, name)
        )

    async def find(self, kind: str, name: str, namespace: str | None = None) -> Manifest | None:
        """The live object, or None."""
        try:
            return await self.get(kind, name, namespace)
        except NotFound:
            return None

    async def list(
        self, kind: str, namespace: str | None = None, *, label_selector: str = "", field_selector: str = ""
    ) -> _Manifests:
        """Every matching object, read in pages; apiVersion and kind are filled in, which lists leave out."""
        asked = {"labelSelector": label_selector, "fieldSelector": field_selector}
        selectors = {key: value for key, value in asked.items() if value}
        try:
            return await self._pages(kind, namespace, selectors, _CHUNK)
        except Gone:  # the continue token outlived the server's history: one page has no token
            return await self._pages(kind, namespace, selectors, 0)

    async def apply(self, manifest: Manifest, *, manager: str = FIELD_MANAGER) -> Manifest:
        """Server-side apply, forced: creates what is missing, takes back our fields; the live object returns.

        With `metadata.uid` it changes exactly that object, or raises Conflict.
        """
        return await self._apply(manifest, None, manager)

    async def apply_status(self, manifest: Manifest, *, manager: str) -> Manifest:
        """Server-side apply of the status subresource; the manifest is identity and status, no more."""
        return await self._apply(manifest, "status", manager)

    async def create(self, manifest: Manifest) -> Manifest:
        """POST: AlreadyExists rather than touching what somebody else made."""
        call, meta = _call_of("create", manifest)
        path = resource(call.kind).path(meta.get("namespace"))
        return await self._call(
            call, "POST", path, body=manifest, params={"fieldManager": FIELD_MANAGER}, idempotent=False
        )

    async def review(self, kind: str, spec: Mapping[str, Any]) -> Manifest:
        """POST a question (TokenReview, SubjectAccessReview); its `status` is the answer. Nothing is kept."""
        entry = resource(kind)
        body = {"apiVersion": entry.api_version, "kind": kind, "spec": spec}
        return await self._call(Call("review", kind, None, None), "POST", entry.path(), body=body)

    async def replace(self, manifest: Manifest) -> Manifest:
        """PUT: drops every field not in the manifest; Conflict unless its resourceVersion is current."""
        call, meta = _call_of("replace", manifest)
        path = resource(call.kind).path(meta.get("namespace"), call.name)
        return await self._call(call, "PUT", path, body=manifest, params={"fieldManager": FIELD_MANAGER})

    async def delete(
        self,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        uid: str,
        resource_version: str | None = None,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
    ) -> bool:
        """Delete exactly this incarnation; False if it was gone, Conflict if the name is another's now."""
        preconditions = {"uid": uid} | ({"resourceVersion": resource_version} if resource_version else {})
        options = {"preconditions": preconditions, "propagationPolicy": propagation}
        call = Call("delete", kind, namespace, name)
        try:
            await self._call(call, "DELETE", resource(kind).path(namespace, name), body=options)
        except NotFound:
            return False
        return True

    async def set_finalizers(
        self, kind: str, name: str, finalizers: Sequence[str], *, resource_version: str
    ) -> Manifest:
        """Write the whole list; Conflict if the object changed since it was read: no entry is lost."""
        # A merge patch that carries a resourceVersion is guarded like a JSON patch with a test, and says 409
        # where the failed test of a JSON patch says 422.
        body = {"metadata": {"finalizers": list(finalizers), "resourceVersion": resource_version}}
        call = Call("patch", kind, None, name)
        return await self._call(
            call, "PATCH", resource(kind).path(None, name), body=body, content_type=_MERGE
        )

    async def merge(self, kind: str, name: str, namespace: str | None, patch: Mapping[str, Any]) -> Manifest:
        """A merge patch, for objects that are not kept by apply (Events)."""
        call = Call("patch", kind, namespace, name)
        return await self._call(
            call, "PATCH", resource(kind).path(namespace, name), body=patch, content_type=_MERGE
        )

    async def _apply(self, manifest: Manifest, subresource: str | None, manager: str) -> Manifest:
        call, meta = _call_of("apply", manifest)
        path = resource(call.kind).path(meta.get("namespace"), call.name, subresource)
        params = {"fieldManager": manager, "force": "true"}
        return await self._call(call, "PATCH", path, body=manifest, params=params, content_type=_APPLY)

    async def _pages(
        self, kind: str, namespace: str | None, selectors: Mapping[str, str], limit: int
    ) -> _Manifests:
        entry = resource(kind)
        params = dict(selectors) | ({"limit": str(limit)} if limit else {})
        found: _Manifests = []
        while True:
            call = Call("list", kind, namespace, None)
            page = await self._call(call, "GET", entry.path(namespace), params=params)
            for item in page.get("items") or ():
                item["apiVersion"], item["kind"] = entry.api_version, kind
                found.append(item)
            token = page.get("metadata", {}).get("continue")
            if not token:
                return found
            params["continue"] = token

    async def _call(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = _JSON,
        idempotent: bool = True,
    ) -> Manifest:
        data = orjson.dumps(body) if body is not None else None

        async def once() -> Manifest:
            return await self._once(
                call, method, path, data=data, params=params or {}, content_type=content_type
            )

        return await self._repeat(once, idempotent=idempotent)

    async def _repeat(self, once: Callable[[], Awaitable[Manifest]], *, idempotent: bool) -> Manifest:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with self._slots:
                    return await once()
            except KubeError as error:
                pause = self._retry.pause_seconds(error, attempt, idempotent=idempotent, random=self._random)
                if pause is None:
                    raise
            await asyncio.sleep(pause)  # outside of the slot: a waiting call must not hold up the others

    async def _once(
        self,
        call: Call,
        method: str,
        path: str,
        *,
        data: bytes | None,
        params: Mapping[str, str],
        content_type: str,
    ) -> Manifest:
        if self._session is None:
            raise RuntimeError("KubeClient is used outside of its `async with`")
        clock = asyncio.get_running_loop().time
        started, status = clock(), None
        headers = {"Content-Type": content_type} if data is not None else {}
        try:
            async with self._session.request(
                method, path, data=data, params=params, headers=headers, timeout=self._timeout
            ) as response:
                status = response.status
                raw = await response.read()
                retry_after = response.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _unreachable(call, error) from error
        finally:
            self._observer(call, status, clock() - started)
        answer = _decode(raw)
        if status >= _OK:
            seconds = float(retry_after) if retry_after.isdigit() else None
            raise error_of(call, status, answer or {"message": response.reason}, seconds)
        return answer


def _call_of(verb: str, manifest: Manifest) -> tuple[Call, Mapping[str, Any]]:
    meta: Mapping[str, Any] = manifest["metadata"]
    return Call(verb, manifest["kind"], meta.get("namespace"), meta.get("name")), meta


def _decode(raw: bytes) -> Manifest:
    try:
        answer = orjson.loads(raw)
    except orjson.JSONDecodeError:  # a proxy in between, or a server going down, answers in prose
        return {}
    return answer if isinstance(answer, dict) else {}


def _unreachable(call: Call, error: BaseException) -> Unavailable:
    """No answer: told apart is whether the request can have arrived."""
    arrived = not isinstance(error, aiohttp.ClientConnectorError)
    return Unavailable(
        *call,
        status=None,
        reason="NoAnswer" if arrived else "NoConnection",
        message=f"{type(error).__name__}: {error}".rstrip(": "),
    )
