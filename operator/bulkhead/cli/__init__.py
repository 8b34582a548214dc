"""`bulkhead`, also `kubectl bulkhead`: tokens and status, with the caller's own rights."""

from bulkhead.cli.main import main

__all__ = ["main"]
