"""The audit log: what a gateway did, on disk before it does it, in a chain that shows every cut."""

from __future__ import annotations

from bulkhead_sandbox.gateway.audit.content import content_mac
from bulkhead_sandbox.gateway.audit.ledger import Head, Identity
from bulkhead_sandbox.gateway.audit.log import AuditLog, Ref, open_audit

__all__ = ["AuditLog", "Head", "Identity", "Ref", "content_mac", "open_audit"]
