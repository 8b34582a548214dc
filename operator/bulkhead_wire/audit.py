"""Audit records: one JSON line each, in one canonical form, chained by SHA-256 and signed at checkpoints.

The canonical form is that of RFC 8785: values are objects, arrays, booleans, strings of printable ASCII and
integers that every reader keeps exact, so sorted keys and no spaces are all that it takes.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self

from bulkhead_wire.keys import SigningKey, VerifyKey, decode_base64url, encode_base64url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "CHECKPOINT_RECORDS",
    "MAX_LINE_BYTES",
    "NO_RECORD",
    "Checkpoint",
    "Event",
    "Outcome",
    "Phase",
    "Record",
    "Severity",
    "canonical",
    "fault",
    "genesis_key",
    "record_hash",
    "sealed",
]

Record = dict[str, Any]  # one line, read: the members that `fault` lets pass

NO_RECORD: Final = "0" * 64  # `prev` of the first record
CHECKPOINT_RECORDS: Final = 256  # of so many records in a row, at least one is a checkpoint
MAX_LINE_BYTES: Final = 16 * 1024  # with its newline

_CHAIN: Final = b"bulkhead-audit-v1\n"
_CHECKPOINT: Final = "bulkhead-audit-checkpoint-v1"
_MAX_INTEGER: Final = 2**53 - 1  # what every JSON reader keeps exact
_SIGNATURE_BYTES: Final = 64
_MAX_DELEGATIONS: Final = 4
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


class Event(StrEnum):
    """What a record is about."""

    GENESIS = "genesis"  # the first record: whose log this is, and whose key signs it
    SEGMENT = "segment"  # the first record of each further file
    CHECKPOINT = "checkpoint"  # signs everything before it
    RECOVERY = "recovery"  # the log itself: something was cut, could not be written, or is written again
    DRAIN = "drain"  # a gateway process ended in order
    CONFIG = "config"
    SESSION = "session"
    AUTH = "auth"
    CHAT = "chat"
    EMBED = "embed"
    TOOL = "tool"
    MEMORY = "memory"
    EGRESS = "egress"
    LIMIT = "limit"
    SECURITY = "security"


class Phase(StrEnum):
    """A call has two records, anything else one."""

    BEGIN = "begin"
    END = "end"
    POINT = "point"


class Outcome(StrEnum):
    """What became of it; in a `begin`, that it was let through."""

    ALLOW = "allow"
    DENY = "deny"
    ERROR = "error"
    TRUNCATED = "truncated"


class Severity(StrEnum):
    """How soon somebody should look."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


def canonical(value: Mapping[str, Any]) -> bytes:
    """The only bytes of `value`; equal to RFC 8785 for every record without a fault."""
    return _ENCODER.encode(value).encode("ascii")


def record_hash(prev: str, record: Mapping[str, Any]) -> str:
    """The hash of a record without its `hash`, 64 hex digits."""
    return hashlib.sha256(_CHAIN + bytes.fromhex(prev) + canonical(record)).hexdigest()


def sealed(prev: str, fields: Mapping[str, Any]) -> tuple[bytes, str]:
    """The line (newline included) of the record that follows `prev`, and its hash.

    `fields` are all members but v, prev and hash; ValueError names the member that no record may hold.
    """
    record: Record = {"v": 1, **fields, "prev": prev}
    record["hash"] = digest = record_hash(prev, record)
    wrong = fault(record)
    if wrong is not None:
        raise ValueError(f"no audit record: {wrong}")
    line = canonical(record) + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise ValueError(f"no audit record: longer than {MAX_LINE_BYTES} bytes")
    return line, digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A gateway's signed word: at `time` the log of `origin` ended with `seq`, whose hash was `head`."""

    origin: str  # the workspace's UID
    seq: int
    head: str
    time: str
    kid: str
    sig: str

    @classmethod
    def signed(cls, key: SigningKey, *, origin: str, seq: int, head: str, time: str) -> Self:
        """A new one."""
        signature = key.sign(_signed_text(origin, seq, head, time))
        return cls(origin=origin, seq=seq, head=head, time=time, kid=key.kid, sig=encode_base64url(signature))

    def is_signed_by(self, key: VerifyKey) -> bool:
        """Whether the holder of `key` said exactly this."""
        try:
            signature = decode_base64url(self.sig)
        except ValueError:
            return False
        text = _signed_text(self.origin, self.seq, self.head, self.time)
        return self.kid == key.kid and key.verifies(signature, text)

    def wire(self) -> dict[str, str | int]:
        """Its members, for JSON."""
        return {
            "origin": self.origin,
            "seq": self.seq,
            "head": self.head,
            "time": self.time,
            "kid": self.kid,
            "sig": self.sig,
        }


def _signed_text(origin: str, seq: int, head: str, time: str) -> bytes:
    return f"{_CHECKPOINT}\n{origin}\n{seq}\n{head}\n{time}\n".encode("ascii")


def genesis_key(record: Record) -> VerifyKey:
    """The public key in a faultless genesis; ValueError if its id is not the one beside it."""
    key = VerifyKey(decode_base64url(record["key"]))
    if key.kid != record["kid"]:
        raise ValueError("the key is not the one that kid names")
    return key


def fault(record: Record) -> str | None:
    """The first thing that makes `record` no record of version 1, or None; never quotes a value."""
    missing = _REQUIRED - record.keys()
    if missing:
        return f"{min(missing)} is missing"
    for name, value in record.items():
        is_allowed = _MEMBERS.get(name)
        if is_allowed is None:
            return "a member is not known"
        if not is_allowed(value):
            return f"{name} is not as it must be"
    return _misfit(record)


def _misfit(record: Record) -> str | None:
    """What fits each member and not the whole."""
    event, phase = record["ev"], record["phase"]
    allowed = _OF_EVENT.get(event, frozenset())
    extra = (record.keys() & _EVENT_MEMBERS) - allowed
    missing = allowed - record.keys()
    if extra or missing:
        return f"{min(extra or missing)} does not go with this event"
    if ("ref" in record) is not (phase == Phase.END):
        return "ref does not go with this phase"
    if phase == Phase.END and record["ref"] >= record["seq"]:
        return "ref is not an earlier record"
    if event in _SINGLE and phase != Phase.POINT:
        return "phase does not go with this event"
    if (event == Event.GENESIS) is not (record["seq"] == 0):
        return "seq does not go with this event"
    return None


def _matches(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern, re.ASCII)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _one_of(kind: type[StrEnum]) -> Callable[[Any], bool]:
    values = frozenset(map(str, kind))
    return lambda value: isinstance(value, str) and value in values


def _is_integer(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MAX_INTEGER  # a bool is an int to isinstance


def _is_version(value: Any) -> bool:
    return type(value) is int and value == 1


def _map_of(is_allowed: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Small objects; names are open here, so that a gateway one release ahead is not called broken."""

    def check(value: Any) -> bool:
        return (
            isinstance(value, dict)
            and 1 <= len(value) <= _MAX_MAP
            and all(isinstance(name, str) and _NAME.fullmatch(name) for name in value)
            and all(map(is_allowed, value.values()))
        )

    return check


def _is_chain(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= _MAX_DELEGATIONS and all(map(_TEXT, value))


_MAX_MAP: Final = 8
_NAME: Final = re.compile(r"[a-z][a-z_]{0,31}", re.ASCII)
_TEXT: Final = _matches(r"[ -~]{1,128}")
_HASH: Final = _matches(r"[0-9a-f]{64}")
_BASE64URL: Final = _matches(r"[A-Za-z0-9_-]{1,128}")
_SIGNATURE: Final = _matches(rf"[A-Za-z0-9_-]{{{(_SIGNATURE_BYTES * 4 + 2) // 3}}}")

_MEMBERS: Final[dict[str, Callable[[Any], bool]]] = {
    "v": _is_version,
    "seq": _is_integer,
    "ts": _matches(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    "ws": _matches(r"[A-Za-z0-9-]{1,64}"),
    "gw": _matches(r"[A-Za-z0-9.-]{1,96}"),  # the gateway process that wrote it
    "ev": _one_of(Event),
    "phase": _one_of(Phase),
    "out": _one_of(Outcome),
    "prev": _HASH,
    "hash": _HASH,
    "ref": _is_integer,
    "rid": _TEXT,
    "trace": _matches(r"[0-9a-f]{32}"),
    "sub": _TEXT,
    "sid": _TEXT,
    "jti": _TEXT,
    "act": _is_chain,
    "scope": _matches(r"[ -~]{1,4096}"),
    "why": _matches(r"[a-z][a-z0-9-]{0,63}"),
    "sev": _one_of(Severity),
    "target": _map_of(lambda value: _is_integer(value) or _TEXT(value)),
    "model": _TEXT,
    "usage": _map_of(lambda value: isinstance(value, bool) or _is_integer(value)),
    "len": _map_of(_is_integer),
    "mac": _map_of(_HASH),
    "ms": _is_integer,
    "n": _is_integer,  # how many such things this one record tells of, if not 1
    "tenant": _TEXT,
    "kid": _BASE64URL,
    "key": _BASE64URL,
    "sig": _SIGNATURE,
}
_REQUIRED: Final = frozenset({"v", "seq", "ts", "ws", "gw", "ev", "phase", "out", "prev", "hash"})
_EVENT_MEMBERS: Final = frozenset({"tenant", "kid", "key", "sig"})
_OF_EVENT: Final = {
    str(Event.GENESIS): frozenset({"tenant", "kid", "key"}),
    str(Event.CHECKPOINT): frozenset({"kid", "sig"}),
}
_SINGLE: Final = frozenset(
    map(str, (Event.GENESIS, Event.SEGMENT, Event.CHECKPOINT, Event.RECOVERY, Event.DRAIN))
)
