"""The gateway's own keys: the same for ever, each on its own."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from bulkhead_wire.gateway_keys import derive

SEED = bytes(range(32))


def by_the_rfc(purpose: str, uid: str) -> bytes:
    """RFC 5869 for one block, written out."""
    extracted = hmac.digest(uid.encode(), SEED, hashlib.sha256)
    return hmac.digest(extracted, f"bulkhead/v1/{purpose}".encode() + b"\x01", hashlib.sha256)


def test_keys_are_what_the_rfc_says() -> None:
    """A key that changed with a release would cut every audit log and every conversation off."""
    keys = derive(SEED, "u-1")

    assert keys.cache_salt == by_the_rfc("cache-salt", "u-1")
    assert keys.tag == by_the_rfc("tag", "u-1")
    assert keys.signing == by_the_rfc("gateway", "u-1")
    assert keys.cache_salt.hex() == "5a335d91c88db8431fdf492789d20a5b9ef192ad43b2b11bd11a2e311459643e"


def test_no_two_keys_are_alike() -> None:
    """One that leaks must tell nothing of the others, nor of another workspace with the same seed."""
    one, other = derive(SEED, "u-1"), derive(SEED, "u-2")

    assert len({one.cache_salt, one.tag, one.signing, other.cache_salt, other.tag, other.signing}) == 6


def test_keys_never_show() -> None:
    """A traceback would carry them into logs."""
    assert repr(derive(SEED, "u-1")) == "GatewayKeys()"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_seed_of_another_length_is_refused_unquoted(length: int) -> None:
    """A cut seed would be a weak one."""
    with pytest.raises(ValueError, match=r"^a gateway's seed has another length than 32 bytes$"):
        derive(b"s" * length, "u-1")
