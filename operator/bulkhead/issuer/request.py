"""What is asked of the issuer: one JSON object, read whole or refused by the name of its field. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from bulkhead import duration
from bulkhead.errors import BulkheadError, InvalidValue
from bulkhead_wire import strict_json
from bulkhead_wire.keys import decode_base64url
from bulkhead_wire.token import ID_BYTES, MAX_SCOPES, MAX_TTL_SECONDS

if TYPE_CHECKING:
    from bulkhead_wire.token import Role

__all__ = ["DEFAULT_TTL", "MAX_BODY_BYTES", "BadRequest", "TokenRequest", "parse"]

MAX_BODY_BYTES: Final = 16 * 1024
DEFAULT_TTL: Final = "5m"
_FIELDS: Final = frozenset({"user", "scopes", "ttl", "session", "role"})
_MAX_TEXT: Final = 256


class BadRequest(BulkheadError):
    """`field` is None where the body as a whole cannot be read."""

    def __init__(self, field: str | None, problem: str) -> None:
        super().__init__(problem if field is None else f"{field}: {problem}")
        self.field = field
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """A session token as wanted; whether its parts are allowed is decided where it is made."""

    user: str
    scopes: tuple[str, ...]
    ttl_seconds: int
    session_id: bytes | None  # 16 bytes; None: a new session
    role: Role = "user"  # an auditor reads the audit log and has no conversations


def parse(body: bytes) -> TokenRequest:
    """The request in `body`; BadRequest says which field is wrong and what is allowed there."""
    try:
        found = strict_json.loads(body, max_depth=4)
    except strict_json.StrictJsonError as error:
        raise BadRequest(None, f"the body is {error}; one JSON object is expected") from error
    if not isinstance(found, dict):
        raise BadRequest(None, "the body is not a JSON object")
    for name in sorted(set(found) - _FIELDS):
        raise BadRequest(name[:64], f"not known; allowed are {', '.join(sorted(_FIELDS))}")
    return TokenRequest(
        user=_text(found, "user"),
        scopes=_scopes(found.get("scopes")),
        ttl_seconds=_ttl(found),
        session_id=_session(found) if "session" in found else None,
        role=_role(found),
    )


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT:
        raise BadRequest(name, f"a text of 1 to {_MAX_TEXT} characters is required")
    return value


def _scopes(value: object) -> tuple[str, ...]:
    listed = isinstance(value, list) and all(isinstance(each, str) for each in value)
    if not isinstance(value, list) or not listed or not 0 < len(value) <= MAX_SCOPES:
        raise BadRequest("scopes", f"a list of 1 to {MAX_SCOPES} texts is required")
    return tuple(value)


def _ttl(found: dict[str, Any]) -> int:
    text = found.get("ttl", DEFAULT_TTL)
    allowed = f"more than 0s and at most {duration.format_seconds(MAX_TTL_SECONDS)}, such as {DEFAULT_TTL}"
    try:
        count = duration.seconds(text, field="ttl") if isinstance(text, str) else 0
    except InvalidValue as error:
        raise BadRequest("ttl", allowed) from error
    if not 0 < count <= MAX_TTL_SECONDS:
        raise BadRequest("ttl", allowed)
    return count


def _role(found: dict[str, Any]) -> Role:
    role = found.get("role", "user")
    if role not in {"user", "auditor"}:
        raise BadRequest("role", "user or auditor")
    return cast("Role", role)


def _session(found: dict[str, Any]) -> bytes:
    try:
        raw = decode_base64url(_text(found, "session"))
    except ValueError as error:
        raise BadRequest("session", "22 characters of base64url") from error
    if len(raw) != ID_BYTES:
        raise BadRequest("session", "22 characters of base64url")
    return raw
