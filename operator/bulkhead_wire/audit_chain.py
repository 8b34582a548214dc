"""Reading an audit log as a stream: each line is the one that must follow, or the log is broken there.

Memory does not grow with the log, so a log of any length can be read from a pipe, and reading may stop and go
on at any record.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Self

from bulkhead_wire.audit import (
    CHECKPOINT_RECORDS,
    MAX_LINE_BYTES,
    NO_RECORD,
    Checkpoint,
    Event,
    Phase,
    Record,
    canonical,
    fault,
    genesis_key,
    record_hash,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bulkhead_wire.keys import VerifyKey

__all__ = ["Anchor", "Broken", "Reason", "Report", "Verifier", "verify"]


class Reason(StrEnum):
    """Why a log is broken; each with the sentence for people."""

    def __new__(cls, value: str, sentence: str) -> Self:
        """A member is its name on the wire."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member

    sentence: str

    EMPTY = "empty", "there is no record"
    CUT_LINE = "cut-line", "the line ends before its record does"
    MALFORMED = "malformed", "the line is no audit record in its one canonical form"
    GENESIS = "genesis", "the log does not begin with the record that says whose it is"
    SEQUENCE = "sequence", "another record stands here: some were left out, repeated or moved"
    WORKSPACE = "workspace", "the record belongs to another workspace"
    CHAIN = "chain", "the record does not follow the one before it"
    HASH = "hash", "the record was changed after it was written"
    KEY = "key", "the log is signed with another key than the one expected"
    SIGNATURE = "signature", "the signature is not the gateway's over what stands before it"
    UNSIGNED = "unsigned", f"{CHECKPOINT_RECORDS} records in a row without a checkpoint"
    CUT_BEFORE_ANCHOR = "cut-before-anchor", "the log ends before a record that was seen in it"
    FORKED = "forked", "another record was seen here"


class Broken(Exception):
    """`seq` is the first record that is missing or not the one that was written."""

    def __init__(self, seq: int, reason: Reason, detail: str | None = None) -> None:
        super().__init__(f"broken at record {seq}: {reason.sentence}{f' ({detail})' if detail else ''}")
        self.seq = seq
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchor:
    """What somebody else saw of the log and kept: record `seq` had the hash `head`."""

    seq: int
    head: str
    kid: str | None = None
    workspace_uid: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an unbroken log says of itself."""

    workspace_uid: str
    tenant: str
    kid: str
    seq: int  # of the last record
    head: str  # its hash
    signed_seq: int | None  # the last record that a checkpoint signs
    open_calls: int  # begun, and not ended in what was read


class Verifier:
    """Takes lines one by one; `seq` and `head` are those of the last record taken.

    It can begin anywhere: with the hash of the record before, or None to take the first record's word for it.
    """

    def __init__(
        self,
        *,
        workspace_uid: str | None = None,
        key: VerifyKey | None = None,
        next_seq: int = 0,
        prev: str | None = NO_RECORD,
    ) -> None:
        """Without `key` the log must begin at its genesis, whose key then signs the rest."""
        if key is None and next_seq > 0:
            raise ValueError("a log can be read from its middle only with the key that signs it")
        self.workspace_uid = workspace_uid
        self.key = key
        self.seq = next_seq - 1
        self.head = prev
        self.tenant = ""
        self.signed_seq: int | None = None
        self.unsigned = 0  # records since the last checkpoint that was read
        self.open_calls = 0

    def feed(self, line: bytes) -> Record:
        """The record of the next line, newline included; Broken if it is not the one that must follow."""
        seq = self.seq + 1
        record = _parsed(line, seq)
        if record["seq"] != seq:
            raise Broken(seq, Reason.SEQUENCE, f"record {record['seq']} stands there")
        if self.workspace_uid is not None and record["ws"] != self.workspace_uid:
            raise Broken(seq, Reason.WORKSPACE)
        if self.head is not None and record["prev"] != self.head:
            raise Broken(seq, Reason.CHAIN)
        content = {name: value for name, value in record.items() if name != "hash"}
        if record_hash(record["prev"], content) != record["hash"]:
            raise Broken(seq, Reason.HASH)
        self._take(seq, record)
        return record

    def _take(self, seq: int, record: Record) -> None:
        if record["ev"] == Event.GENESIS:
            self._take_genesis(record)
        if record["ev"] == Event.CHECKPOINT:
            self._check_signature(seq, record)
            self.signed_seq, self.unsigned = seq - 1, 0
        else:
            self.unsigned += 1
            if self.unsigned >= CHECKPOINT_RECORDS:
                raise Broken(seq, Reason.UNSIGNED)
        if record["phase"] != Phase.POINT:
            self.open_calls += 1 if record["phase"] == Phase.BEGIN else -1
        self.seq, self.head = seq, record["hash"]

    def _take_genesis(self, record: Record) -> None:
        try:
            key = genesis_key(record)
        except ValueError as error:
            raise Broken(0, Reason.KEY) from error
        if self.key is not None and key.kid != self.key.kid:
            raise Broken(0, Reason.KEY)
        self.key, self.tenant, self.workspace_uid = key, record["tenant"], record["ws"]

    def _check_signature(self, seq: int, record: Record) -> None:
        checkpoint = Checkpoint(
            origin=record["ws"],
            seq=seq - 1,
            head=record["prev"],
            time=record["ts"],
            kid=record["kid"],
            sig=record["sig"],
        )
        if self.key is None or not checkpoint.is_signed_by(self.key):
            raise Broken(seq, Reason.SIGNATURE)


def _parsed(line: bytes, seq: int) -> Record:
    """The faultless record whose canonical form is the line."""
    if not line.endswith(b"\n"):
        raise Broken(seq, Reason.CUT_LINE if len(line) < MAX_LINE_BYTES else Reason.MALFORMED)
    try:
        record = json.loads(line)
        if not isinstance(record, dict):
            raise Broken(seq, Reason.MALFORMED)
        wrong = fault(record)
        if wrong is not None:
            raise Broken(seq, Reason.GENESIS if seq == 0 else Reason.MALFORMED, wrong)
        # Byte for byte: nothing can hide in spaces, escapes, repeated members or the order of members.
        if len(line) > MAX_LINE_BYTES or canonical(record) + b"\n" != line:
            raise Broken(seq, Reason.MALFORMED)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and JSONDecodeError are ValueErrors
        raise Broken(seq, Reason.MALFORMED) from error
    return record


def verify(lines: Iterable[bytes], *, anchor: Anchor | None = None) -> Report:
    """What a whole log says, from its genesis on; Broken with the first bad record.

    Without an anchor, records that were cut off at the end do not show, nor does a log that somebody signed
    anew with a key of his own: compare `kid`.
    """
    verifier = Verifier(workspace_uid=None if anchor is None else anchor.workspace_uid)
    for line in lines:
        verifier.feed(line)
        if anchor is not None:
            _hold_against(anchor, verifier)
    key, uid, head = verifier.key, verifier.workspace_uid, verifier.head
    if key is None or uid is None or head is None or verifier.seq < 0:
        raise Broken(0, Reason.EMPTY)
    if anchor is not None and verifier.seq < anchor.seq:
        detail = f"record {anchor.seq} was seen"
        raise Broken(verifier.seq + 1, Reason.CUT_BEFORE_ANCHOR, detail)
    return Report(
        workspace_uid=uid,
        tenant=verifier.tenant,
        kid=key.kid,
        seq=verifier.seq,
        head=head,
        signed_seq=verifier.signed_seq,
        open_calls=verifier.open_calls,
    )


def _hold_against(anchor: Anchor, verifier: Verifier) -> None:
    if verifier.seq == 0 and anchor.kid is not None and verifier.key and verifier.key.kid != anchor.kid:
        raise Broken(0, Reason.KEY)
    if verifier.seq == anchor.seq and verifier.head != anchor.head:
        raise Broken(anchor.seq, Reason.FORKED)
