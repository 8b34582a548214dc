"""Who calls: session tokens, tokens delegated from them, proofs of a key, and what revokes them."""

from __future__ import annotations

from bulkhead_sandbox.gateway.sessions.credentials import Presented
from bulkhead_sandbox.gateway.sessions.delegation import Delegation, Wanted
from bulkhead_sandbox.gateway.sessions.proofs import Proofs
from bulkhead_sandbox.gateway.sessions.trust import EpochFile, KeyRing
from bulkhead_sandbox.gateway.sessions.verifier import Sessions

__all__ = ["Delegation", "EpochFile", "KeyRing", "Presented", "Proofs", "Sessions", "Wanted"]
