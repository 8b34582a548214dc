"""What a role is told at start: one JSON text in the environment, read whole or refused whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, TypeVar

from bulkhead_sandbox.shape import Bounds, ShapeError, decode
from bulkhead_wire import strict_json

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "VARIABLE",
    "ConfigError",
    "EgressConfig",
    "EgressListener",
    "EgressRuleConfig",
    "GatewayConfig",
    "LimitsConfig",
    "MemoryConfig",
    "ModelConfig",
    "RateConfig",
    "RuntimeConfig",
    "ToolConfig",
    "ToolRunnerConfig",
    "read",
]

T = TypeVar("T")
VARIABLE = "BULKHEAD_CONFIG"
Port = Annotated[int, Bounds(0, 65535)]  # 0: any free one, for tests
Count = Annotated[int, Bounds(1, 2**53 - 1)]


class ConfigError(Exception):
    """The program cannot start; the message names the field and what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolConfig:
    """One MCP server that callers may reach by name."""

    name: str
    url: str
    allow: tuple[str, ...]  # MCP tool names; empty: every one


@dataclass(frozen=True, slots=True, kw_only=True)
class RateConfig:
    """What one user, or all of them together, may spend."""

    requests_per_minute: Count
    tokens_per_minute: Count
    tokens_per_day: Count
    concurrent: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsConfig:
    """Both hold at once."""

    per_user: RateConfig
    tenant: RateConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """One OpenAI-compatible server that callers may use by name."""

    name: str
    url: str  # the base, with its /v1
    upstream_name: str
    context_tokens: Count
    max_output_tokens: Count
    embeddings: bool
    cache_salt: bool  # false: the server knows no such field
    key_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConfig:
    """How long a conversation is kept after it was opened."""

    session_ttl_seconds: Count


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """Whose tokens to accept, what they may spend, and where tools and models are."""

    workspace: str
    workspace_uid: str
    audience: str
    issuer: str
    listen: Port
    operator_listen: Port
    health_listen: Port
    guard_listen: Port
    canary: str  # host:port of the headless Service
    jwks_file: str
    epoch_file: str  # tokens of an earlier epoch are revoked
    keys_folder: str  # holds cache-salt.key, tag.key and gateway.key
    data_folder: str  # the only place that is written to
    limits: LimitsConfig
    memory: MemoryConfig
    models: tuple[ModelConfig, ...]
    tools: tuple[ToolConfig, ...]
    tls_folder: str | None = None  # holds tls.crt and tls.key; none: plain HTTP


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRuleConfig:
    """Exactly one of host and cidr."""

    ports: tuple[int, ...]
    host: str | None = None
    cidr: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressListener:
    """One client: its port is its identity, fenced by NetworkPolicy."""

    port: Port
    client: str
    rules: tuple[EgressRuleConfig, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressConfig:
    """Who may go where, and where no one may go."""

    workspace: str
    workspace_uid: str
    health_listen: Port
    denied_cidrs: tuple[str, ...]
    listeners: tuple[EgressListener, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolRunnerConfig:
    """Where the MCP server listens."""

    listen: Port
    path: str
    health_listen: Port


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeConfig:
    """Where the waiting runtime answers."""

    listen: Port
    health_listen: Port


def read(cls: type[T], environment: Mapping[str, str]) -> T:
    """The role's config from BULKHEAD_CONFIG; ConfigError names the variable or the field that is wrong."""
    text = environment.get(VARIABLE)
    if not text:
        raise ConfigError(f"{VARIABLE} is not set; it holds the role's configuration as JSON")
    try:
        return decode(cls, strict_json.loads(text.encode(), max_depth=8))
    except strict_json.StrictJsonError as error:
        raise ConfigError(f"{VARIABLE}: {error}") from error
    except ShapeError as error:
        raise ConfigError(f"{VARIABLE}: {error}") from error
