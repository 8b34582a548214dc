"""Pure: what must be done, and what to say about it."""
