"""Wiring: kopf handlers that only enqueue, settings, main."""
