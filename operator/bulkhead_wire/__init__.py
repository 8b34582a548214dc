"""Formats that operator and sandbox image must agree on; standard library and cryptography only."""
