"""The demo: what Bulkhead promises, shown on a real cluster, step by step, with times."""
