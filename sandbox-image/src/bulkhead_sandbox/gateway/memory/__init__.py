"""What users said and were answered, for as long as they may be remembered."""

from __future__ import annotations

from bulkhead_sandbox.gateway.memory.conversations import Conversations
from bulkhead_sandbox.gateway.memory.failures import MemoryFailed
from bulkhead_sandbox.gateway.memory.folder import Swept
from bulkhead_sandbox.gateway.memory.user_file import Conversation

__all__ = ["Conversation", "Conversations", "MemoryFailed", "Swept"]
