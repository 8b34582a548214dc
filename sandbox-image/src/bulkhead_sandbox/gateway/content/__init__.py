"""What goes into a prompt, and what may come out of an answer."""

from __future__ import annotations

from bulkhead_sandbox.gateway.content.datamark import datamark, new_marker
from bulkhead_sandbox.gateway.content.framing import framed
from bulkhead_sandbox.gateway.content.reserved import defused, reserved
from bulkhead_sandbox.gateway.content.scanner import Scanner, StreamScanner, UnsafeOutput
from bulkhead_sandbox.gateway.content.tags import Kind, Tags

__all__ = [
    "Kind",
    "Scanner",
    "StreamScanner",
    "Tags",
    "UnsafeOutput",
    "datamark",
    "defused",
    "framed",
    "new_marker",
    "reserved",
]
