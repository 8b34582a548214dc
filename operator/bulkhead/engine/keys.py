"""Signing keys: one Secret a workspace, in the operator's namespace; only the public half goes further.

`private.pem` signs, `next.pem` will, `jwks.json` is what gateways shall accept; `rotation` says when what
changes. `gateway.seed`, made once, is what the gateway's own keys are derived from.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from bulkhead import names
from bulkhead.engine.rotation import KeyState, next_step
from bulkhead.errors import AlreadyExists
from bulkhead.render.context import SecretValue
from bulkhead.telemetry import logs
from bulkhead.telemetry.logs import LogEvent
from bulkhead_wire.gateway_keys import SEED_BYTES
from bulkhead_wire.keys import InvalidKey, Jwks, SigningKey, generate_key, jwks_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bulkhead.kube.client import KubeClient
    from bulkhead.plan.observed import Manifest

__all__ = ["PublicKeys", "SigningKeys", "key_ids", "signing_key_secret"]

PURPOSE: Final = "signing-key"
_PRIVATE: Final = "private.pem"
_NEXT: Final = "next.pem"
_PUBLIC: Final = "jwks.json"
_SEED: Final = "gateway.seed"


@dataclass(frozen=True, slots=True)
class PublicKeys:
    """What the rest of the operator may know of a workspace's keys."""

    secret_uid: str
    jwks: str  # empty: the Secret is there but cannot be read as a key set
    gateway_seed: SecretValue | None = None  # None: not there yet, or spoilt
    _secret: Manifest = field(default_factory=dict, repr=False, compare=False)  # for SigningKeys alone


def signing_key_secret(
    workspace: str,
    uid: str,
    namespace: str,
    state: KeyState,
    seed: SecretValue,
    live: Manifest | None = None,
) -> Manifest:
    """The Secret in that state; owned by the TenantWorkspace, so it cannot outlive it.

    With the live object it is fit to replace exactly that one.
    """
    before = live["metadata"] if live is not None else {}
    kept = {name: before[name] for name in ("uid", "resourceVersion", "finalizers") if name in before}
    files = {
        _PRIVATE: state.active.pem().encode(),
        _PUBLIC: jwks_json(state.public()).encode(),
        _SEED: seed.reveal(),
    }
    if state.next is not None:
        files[_NEXT] = state.next.pem().encode()
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            **kept,
            "name": names.signing_key(uid),
            "namespace": namespace,
            "labels": names.workspace_labels(workspace, uid) | {names.PURPOSE_LABEL: PURPOSE},
            "annotations": _annotations(state),
            "ownerReferences": [
                {
                    "apiVersion": names.API_VERSION,
                    "kind": names.WORKSPACE_KIND,
                    "name": workspace,
                    "uid": uid,
                    "controller": True,
                    "blockOwnerDeletion": False,
                }
            ],
        },
        "type": "Opaque",
        "data": {name: base64.b64encode(value).decode() for name, value in files.items()},
    }


class SigningKeys:
    """Reads, makes and exchanges the Secrets."""

    def __init__(
        self,
        client: KubeClient,
        namespace: str,
        *,
        max_age_seconds: float,
        new_key: Callable[[], SigningKey] = generate_key,
        new_seed: Callable[[], bytes] = lambda: secrets.token_bytes(SEED_BYTES),
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._max_age_seconds = max_age_seconds
        self._new_key = new_key
        self._new_seed = new_seed

    async def find(self, uid: str) -> PublicKeys | None:
        """The public half, if there is a key."""
        secret = await self._client.find("Secret", names.signing_key(uid), self._namespace)
        return None if secret is None else _public(secret)

    async def make(self, workspace: str, uid: str, *, requested: str, now: datetime) -> PublicKeys:
        """The public half of a new key; one that is there already is never overwritten."""
        state = KeyState(active=self._new_key(), since=now.replace(microsecond=0), handled=requested)
        try:
            seed = SecretValue(self._new_seed())
            return _public(
                await self._client.create(signing_key_secret(workspace, uid, self._namespace, state, seed))
            )
        except AlreadyExists:  # an earlier leader's request arrived after all
            return _public(await self._client.get("Secret", names.signing_key(uid), self._namespace))

    async def turn(
        self, workspace: str, uid: str, keys: PublicKeys, *, requested: str, delivered: str, now: datetime
    ) -> tuple[PublicKeys, float | None]:
        """One step of an exchange, if it is due, and seconds until the one after it.

        A Secret that cannot be read is left alone: a person must decide whether its sessions may end. One of
        an older release gets its seed; a seed that is there is never changed.
        `delivered` is the key set that the workspace's gateway mounts.
        """
        state, seed = _state(keys), keys.gateway_seed
        if state is None or (seed is None and _SEED in _data(keys)):
            return keys, None
        step = next_step(
            state,
            now=now,
            max_age_seconds=self._max_age_seconds,
            requested=requested,
            delivered=key_ids(delivered),
            new_key=self._new_key,
        )
        if step.state == state and seed is not None:
            return keys, step.again_seconds
        # A replace of the version that was read: of two leaders for a moment one is told that it is late.
        seed = seed or SecretValue(self._new_seed())
        made = signing_key_secret(workspace, uid, self._namespace, step.state, seed, keys._secret)  # noqa: SLF001
        live = await self._client.replace(made)
        if step.state != state:
            logs.info(LogEvent.KEY_EXCHANGED, signs=step.state.active.kid, keys=len(step.state.public()))
        return _public(live), step.again_seconds


def key_ids(jwks: str) -> frozenset[str]:
    """The ids in a key set; none if it is no key set."""
    try:
        return frozenset(Jwks.parse(jwks).keys)
    except InvalidKey:
        return frozenset()


def _annotations(state: KeyState) -> dict[str, str]:
    found = {names.KEY_SINCE_ANNOTATION: _stamp(state.since)}
    if state.published_at is not None:
        found[names.KEY_PUBLISHED_ANNOTATION] = _stamp(state.published_at)
    if state.handled:
        found[names.ROTATE_KEY_ANNOTATION] = state.handled
    return found


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _public(secret: Manifest) -> PublicKeys:
    data = secret.get("data") or {}
    text, seed = _text(data, _PUBLIC), _bytes(data, _SEED)
    return PublicKeys(
        secret["metadata"]["uid"],
        text if key_ids(text) else "",
        SecretValue(seed) if len(seed) == SEED_BYTES else None,
        secret,
    )


def _data(keys: PublicKeys) -> Mapping[str, Any]:
    return keys._secret.get("data") or {}  # noqa: SLF001


def _state(keys: PublicKeys) -> KeyState | None:
    """What the Secret says, or None: it is not what we wrote."""
    data, metadata = _data(keys), keys._secret["metadata"]  # noqa: SLF001
    notes: Mapping[str, Any] = metadata.get("annotations") or {}
    try:
        active = SigningKey.from_pem(_text(data, _PRIVATE))
        coming = SigningKey.from_pem(_text(data, _NEXT)) if _NEXT in data else None
        published = Jwks.parse(keys.jwks).keys
        since = _moment(notes.get(names.KEY_SINCE_ANNOTATION)) or _moment(metadata["creationTimestamp"])
    except (InvalidKey, KeyError):
        return None
    others = [
        key for kid, key in published.items() if kid != active.kid and (coming is None or kid != coming.kid)
    ]
    if since is None or active.kid not in published:
        return None
    state = KeyState(
        active=active,
        since=since,
        next=coming,
        published_at=_moment(notes.get(names.KEY_PUBLISHED_ANNOTATION)),
        handled=str(notes.get(names.ROTATE_KEY_ANNOTATION) or ""),
    )
    return replace(state, previous=others[0]) if others and coming is None else state


def _moment(text: object) -> datetime | None:
    try:
        found = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _text(data: Mapping[str, Any], name: str) -> str:
    try:
        return _bytes(data, name).decode()
    except UnicodeDecodeError:
        return ""


def _bytes(data: Mapping[str, Any], name: str) -> bytes:
    try:
        return base64.b64decode(data.get(name, ""), validate=True)
    except (binascii.Error, TypeError):
        return b""
