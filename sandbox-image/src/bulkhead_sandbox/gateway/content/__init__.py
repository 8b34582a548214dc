"""What goes into a prompt, and what may come out of an answer."""

from __future__ import annotations

from bulkhead_sandbox.gateway.content.datamark import new_marker
from bulkhead_sandbox.gateway.content.framing import framed
from bulkhead_sandbox.gateway.content.reserved import reserved
from bulkhead_sandbox.gateway.content.scanner import Scanner, StreamScanner, UnsafeOutput
from bulkhead_sandbox.gateway.content.tags import Kind, Tags

__all__ = [
    "Kind",
    "Scanner",
    "StreamScanner",
    "Tags",
    "UnsafeOutput",
    "framed",
    "new_marker",
    "reserved",
]
