"""MCP 2026-07-28 over HTTP: the names that its client (gateway) and its server (tool-runner) share.

Source: modelcontextprotocol.io, specification 2026-07-28, basic/transports/streamable-http and server/tools.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any, Final

from bulkhead_wire.version import VERSION

__all__ = [
    "CAPABILITIES_META",
    "CLIENT_INFO_META",
    "HEADER_MISMATCH",
    "INVALID_PARAMS",
    "INVALID_REQUEST",
    "METHOD_HEADER",
    "METHOD_NOT_FOUND",
    "NAME_HEADER",
    "PARSE_ERROR",
    "PROTOCOL",
    "SERVER_INFO_META",
    "SESSION_HEADER",
    "SUBJECT_HEADER",
    "TOOL_NAME",
    "TRUNCATED_META",
    "UNSUPPORTED_VERSION",
    "VERSION_HEADER",
    "VERSION_META",
    "decode_header",
    "implementation",
]

PROTOCOL: Final = "2026-07-28"

VERSION_HEADER: Final = "MCP-Protocol-Version"
METHOD_HEADER: Final = "Mcp-Method"
NAME_HEADER: Final = "Mcp-Name"

VERSION_META: Final = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES_META: Final = "io.modelcontextprotocol/clientCapabilities"
CLIENT_INFO_META: Final = "io.modelcontextprotocol/clientInfo"
SERVER_INFO_META: Final = "io.modelcontextprotocol/serverInfo"

# Ours: who calls, as pseudonyms that mean nothing outside one workspace; and that a result was cut short.
SUBJECT_HEADER: Final = "X-Bulkhead-Subject"
SESSION_HEADER: Final = "X-Bulkhead-Session"
TRUNCATED_META: Final = "bulkhead.dev/truncated"

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022

TOOL_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}", re.ASCII)
_ENCODED: Final = re.compile(r"=\?base64\?(.*)\?=", re.ASCII)


def decode_header(value: str) -> str | None:
    """The text that a mirrored header stands for (`=?base64?...?=` undone), or None if it cannot be read."""
    match = _ENCODED.fullmatch(value)
    if match is None:
        return value
    try:
        return base64.b64decode(match[1], validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None


def implementation(role: str) -> dict[str, Any]:
    """How a role names itself."""
    return {"name": f"bulkhead-{role}", "version": VERSION}
