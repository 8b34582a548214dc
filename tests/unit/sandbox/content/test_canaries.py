from __future__ import annotations

import base64
import html
import re
import urllib.parse
from typing import TYPE_CHECKING

import pytest

from bulkhead_sandbox.gateway.content import Kind, Scanner, Tags, UnsafeOutput
from bulkhead_sandbox.gateway.content.tags import well_formed

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = Tags(b"\x01" * 32, "3f0c2b7e-52f1-4f6e-9a3c-0d6f5f1f7b10")
THEIRS = Tags(b"\x02" * 32, "b1b7e5a0-1f6e-4b57-8a35-5a0d7f6f2c11")
SCANNER = Scanner(OURS, {})
OWN = OURS.canary("alice", "session-1")
FOREIGN = THEIRS.canary("bob", "session-2")


def verdict(text: str, subject: str = "alice") -> Kind | None:
    """What is found in `text`; None: it may pass, and passes unchanged."""
    try:
        assert text == SCANNER.text(text, subject)
    except UnsafeOutput as unsafe:
        return unsafe.kind
    return None


def test_canary_has_the_documented_form() -> None:
    """Other gateways recognise it by its form alone."""
    assert re.fullmatch(r"bhc-[0-9a-f]{8}-[0-9a-f]{16}-[0-9a-f]{8}", OWN)
    assert OWN == OURS.canary("alice", "session-1")


def test_canaries_of_users_sessions_and_workspaces_differ() -> None:
    """A leak could not be told from another."""
    canaries = {
        tags.canary(subject, session)
        for tags in (OURS, THEIRS, Tags(b"\x01" * 32, "another-uid"))
        for subject in ("alice", "bob", "alice.bob")
        for session in ("session-1", "session-2")
    }
    assert len(canaries) == 18


def test_prompt_holds_neither_name_nor_uid() -> None:
    """A raw id would be what to probe others for."""
    message = OURS.system_message("alice", "session-1")
    assert message.startswith(f"[bulkhead t={OURS.tag} s=")
    assert OWN in message
    for secret in ("alice", "session-1", "3f0c2b7e", "0d6f5f1f7b10", "01" * 8):
        assert secret not in message


def test_each_canary_is_told_by_whose_it_is() -> None:
    """A user's own prompt is a leak; anybody else's means that isolation has failed."""
    assert verdict(OWN) is Kind.OWN
    assert verdict(OWN, "bob") is Kind.OTHER_USER
    assert verdict(FOREIGN) is Kind.FOREIGN
    assert [kind.severity for kind in Kind] == ["high", "critical", "critical"]


def test_forged_canary_in_our_name_is_foreign() -> None:
    """Who has seen our tag could make what passes for ours, and hide another's behind it."""
    last = "0" if OWN[-1] != "0" else "1"
    assert verdict(OWN[:-1] + last) is Kind.FOREIGN


@pytest.mark.parametrize(
    "text",
    [
        "bhc",
        "bhc-",
        "the bhc-1234 form",
        "BHC 550e8400-e29b-41d4-a716-446655440000",
        "bhc d41d8cd98f00b204e9800998ecf8427e",
        "bhc" + "0" * 64,
        "YmhjLQ==",
        "6268632d",
        FOREIGN[4:],
        FOREIGN.replace("bhc-", "bhc公"),
        f"bhcx{FOREIGN[4:]}",
    ],
)
def test_what_only_looks_like_a_canary_passes(text: str) -> None:
    """A name followed by a digest or a UUID would block an innocent answer and wake somebody up."""
    assert verdict(text) is None
    assert verdict(f"Hello {text} world") is None


HIDDEN: dict[str, Callable[[str], str]] = {
    "upper case": str.upper,
    "mixed case": lambda c: "".join(x.upper() if i % 2 else x for i, x in enumerate(c)),
    "within a word": lambda c: f"xyz{c}xyz",
    "without hyphens": lambda c: c.replace("-", ""),
    "other hyphens": lambda c: c.replace("-", "\u2013"),
    "underscores": lambda c: c.replace("-", "_"),
    "spaces": " ".join,
    "many spaces": (" " * 500).join,
    "lines": "\n".join,
    "commas": ", ".join,
    "quotes": "', '".join,
    "markup": "**".join,
    "zero-width": "\u200b".join,
    "many zero-width": ("\u200b\u2060\ufeff" * 100).join,
    "bidirectional": "\u202e".join,
    "soft hyphens": "\xad".join,
    "variation selectors": "\ufe0f".join,
    "tag characters between": "\U000e0041".join,
    "emoji": "\U0001f600".join,
    "combining marks": lambda c: "".join(x + "\u0301\u0327" for x in c),
    "composed letters": lambda c: c.replace("c", "\u00e7").replace("e", "\u00e9"),
    "full width": lambda c: "".join(chr(ord(x) + 0xFEE0) for x in c),
    "mathematical": lambda c: "".join(chr(0x1D41A + ord(x) - 97) if x.isalpha() else x for x in c),
    "circled": lambda c: "".join(chr(0x24D0 + ord(x) - 97) if x.isalpha() else x for x in c),
    "all tag characters": lambda c: "".join(chr(0xE0000 + ord(x)) for x in c),
    "escaped hyphens in a URL": lambda c: c.replace("-", "%2D"),
    "escaped hyphens in JSON": lambda c: c.replace("-", "\\u002d"),
    "escaped hyphens in HTML": lambda c: c.replace("-", "&#45;"),
    "percent-encoded": lambda c: "".join(f"%{ord(x):02X}" for x in c),
    "hexadecimal": lambda c: c.encode().hex(),
    "spaced hexadecimal": lambda c: c.encode().hex(" "),
    "hexadecimal of more": lambda c: f"x{c}y".encode().hex(),
    "in a URL": lambda c: "https://a.example/?q=" + urllib.parse.quote(c),
    "in an image": lambda c: f"![x](https://a.example/{html.escape(c)}.png)",
}


@pytest.mark.parametrize("hide", HIDDEN.values(), ids=HIDDEN.keys())
@pytest.mark.parametrize(
    ("canary", "kind"), [(OWN, Kind.OWN), (FOREIGN, Kind.FOREIGN)], ids=["own", "foreign"]
)
def test_hidden_canary_is_found(canary: str, kind: Kind, hide: Callable[[str], str]) -> None:
    """A user could ask the model for its prompt in any of these forms."""
    assert verdict(f"It says {hide(canary)} there.") is kind


@pytest.mark.parametrize("before", ["", "x", "xy", "xyz", "a longer sentence before it: ", "é"])
@pytest.mark.parametrize("after", ["", "x", "xy", " and more behind it"])
@pytest.mark.parametrize(
    "encode",
    [
        base64.b64encode,
        base64.urlsafe_b64encode,
        base64.encodebytes,
        lambda data: b" ".join(base64.b64encode(data)[i : i + 3] for i in range(0, 200, 3)),
        lambda data: base64.b64encode(data).rstrip(b"="),
    ],
    ids=["standard", "url-safe", "in lines", "in groups", "without padding"],
)
def test_canary_in_base64_is_found_at_any_offset(
    encode: Callable[[bytes], bytes], before: str, after: str
) -> None:
    """The first thing that a clever user asks for."""
    encoded = encode(f"{before}{FOREIGN}{after}".encode()).decode()
    assert verdict(f"Here: {encoded}") is Kind.FOREIGN


@pytest.mark.parametrize("digits", range(8, 32))
def test_cut_canary_of_our_own_is_found(digits: int) -> None:
    """`max_tokens` or a stop sequence would let all but the last digit out."""
    squeezed = OWN.replace("-", "")[: 3 + digits]
    assert verdict(squeezed) is Kind.OWN
    assert verdict(f"{squeezed}. The rest I keep.") is Kind.OWN


@pytest.mark.parametrize("digits", range(24, 32))
def test_cut_foreign_canary_is_found(digits: int) -> None:
    """As above; with fewer digits there is nothing that tells it from other text."""
    assert verdict(FOREIGN.replace("-", "")[: 3 + digits]) is Kind.FOREIGN
    assert verdict(FOREIGN.encode().hex()[: 2 * (6 + digits)]) is Kind.FOREIGN


def test_one_in_65536_digests_would_pass_for_a_canary() -> None:
    """Without its check digits every digest behind "bhc" would."""
    wrong = sum(well_formed(f"{number:032x}") is not None for number in range(5000))
    assert wrong <= 2


def test_error_holds_no_text() -> None:
    """The canary itself would stand in logs."""
    with pytest.raises(UnsafeOutput) as caught:
        SCANNER.text(f"secret words {FOREIGN}", "alice")
    assert (str(caught.value), caught.value.args) == ("foreign_canary", ("foreign_canary",))
