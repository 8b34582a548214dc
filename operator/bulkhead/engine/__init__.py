"""The loop: queue, gather, execute, deadlines, sweep."""
