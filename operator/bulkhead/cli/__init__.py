"""bulkhead, also kubectl bulkhead."""
