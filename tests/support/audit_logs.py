"""Whole audit logs, made by the shared format alone."""

from __future__ import annotations

from typing import Any

from bulkhead_wire.audit import NO_RECORD, Checkpoint, sealed
from bulkhead_wire.keys import SigningKey, encode_base64url

__all__ = ["KEY", "OTHER_KEY", "TIME", "UID", "LogMaker", "log_of"]

UID = "3f0c2b7e-52f1-4f6e-9a3c-0d6f5f1f7b10"
KEY = SigningKey.from_seed(b"\x05" * 32)
OTHER_KEY = SigningKey.from_seed(b"\x06" * 32)
TIME = "2026-12-01T12:00:00.000Z"


class LogMaker:
    """Appends records; `lines` is the log."""

    def __init__(self, uid: str = UID, *, key: SigningKey = KEY) -> None:
        self.uid = uid
        self.key = key
        self.lines: list[bytes] = []
        self.head = NO_RECORD
        self.add(ev="genesis", tenant="acme-corp", kid=key.kid, key=encode_base64url(key.public.public_bytes))

    def add(self, **fields: Any) -> None:
        """One record, a point unless told otherwise."""
        base = {"seq": len(self.lines), "ts": TIME, "ws": self.uid, "gw": "gateway-a.1"}
        line, self.head = sealed(self.head, {**base, "phase": "point", "out": "allow", **fields})
        self.lines.append(line)

    def checkpoint(self, *, key: SigningKey | None = None) -> None:
        """Signs what is there."""
        signed = Checkpoint.signed(
            key or self.key, origin=self.uid, seq=len(self.lines) - 1, head=self.head, time=TIME
        )
        self.add(ev="checkpoint", kid=signed.kid, sig=signed.sig)


def log_of(calls: int, uid: str = UID, *, key: SigningKey = KEY, every: int = 8) -> list[bytes]:
    """A genesis, so many calls of two records, and a checkpoint after each `every` of them."""
    made = LogMaker(uid, key=key)
    for call in range(calls):
        made.add(ev="tool", phase="begin", sub=f"user-{call % 3}", target={"tool": "shell"}, len={"in": call})
        made.add(ev="tool", phase="end", ref=len(made.lines) - 1, ms=call)
        if call % every == every - 1:
            made.checkpoint()
    return made.lines
