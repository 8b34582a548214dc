from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bad_specs import BAD_ASCII_FORMS, BAD_HOSTS, BAD_IMAGE_ALLOWANCES

from bulkhead.api.conditions import Reason
from bulkhead.api.effective import Effective
from bulkhead.api.syntax import HOST, IMAGE_ALLOWANCE, host_admitted_by, host_fault, image_admitted_by

from .conftest import parsed_class

if TYPE_CHECKING:
    from support.bad_specs import BadText

    from bulkhead.api.syntax import Syntax

    from .conftest import Judge

GOOD_HOSTS = [
    "api.example.com",
    "*.example.com",
    "a.b",
    "1.example",
    "7up.example",
    "0x7f.example",
    "a--b.example",
    "r3---sn-4g5e.example",
    "xn--mnchen-3ya.example",
    "xn--strae-oqa.example",
    "*.xn--9ca.example",
    "example.xn--p1ai",
    f"{'a' * 63}.{'b' * 63}",
    f"{'a.' * 123}example",  # 253 characters
]


@pytest.mark.parametrize("bad", BAD_HOSTS + BAD_ASCII_FORMS, ids=lambda bad: bad.id)
def test_bad_host_of_a_workspace_is_refused_with_its_own_reason(bad: BadText, judged: Judge) -> None:
    """A mere "invalid" sends people guessing; and a name that two parsers read otherwise is a way out."""
    outcome = judged({"runtime": {}, "egress": [{"host": bad.text}]})

    assert not isinstance(outcome, Effective)
    assert [(each.reason, each.field) for each in outcome] == [(Reason.INVALID_SPEC, "spec.egress[0].host")]
    assert bad.allowed in outcome[0].allowed


@pytest.mark.parametrize("bad", BAD_HOSTS + BAD_ASCII_FORMS, ids=lambda bad: bad.id)
def test_bad_host_in_a_class_is_refused_with_its_own_reason(bad: BadText) -> None:
    """An allow-list must not hold what no rule may name, least of all everything."""
    spec = parsed_class({"allowed": {"egressHosts": ["a.example", bad.text]}}).spec

    assert isinstance(spec, tuple)
    assert [(each.reason, each.field) for each in spec] == [
        (Reason.INVALID_SPEC, "spec.allowed.egressHosts[1]")
    ]
    assert bad.allowed in spec[0].allowed


@pytest.mark.parametrize("bad", BAD_IMAGE_ALLOWANCES, ids=lambda bad: bad.id)
def test_bad_image_pattern_is_refused_with_its_own_reason(bad: BadText) -> None:
    """An allow-list of everything is none."""
    spec = parsed_class({"allowed": {"images": [bad.text]}}).spec

    assert isinstance(spec, tuple)
    assert [(each.reason, each.field) for each in spec] == [(Reason.INVALID_SPEC, "spec.allowed.images[0]")]
    assert bad.allowed in spec[0].allowed


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_real_host_names_are_taken(host: str) -> None:
    """A rule against tricks must not cost a tenant its API."""
    assert host_fault(host) is None


@pytest.mark.parametrize(
    "pattern",
    [
        "registry.example/*",
        "registry.example/agents/*",
        "registry.example:5000/a*",
        "busybox",
        "a/b@sha256:0",
    ],
)
def test_image_patterns_with_a_registry_are_taken(pattern: str) -> None:
    """The narrowest rule that still serves a whole registry."""
    assert IMAGE_ALLOWANCE.fault(pattern) is None


def test_no_fault_is_beyond_reach() -> None:
    """A reason that is never given is text nobody checked: each fault of the tables has a case here."""
    cases = {HOST: BAD_HOSTS, IMAGE_ALLOWANCE: BAD_IMAGE_ALLOWANCES}
    unused = {
        allowed
        for syntax, bad in cases.items()
        for _, allowed in syntax.faults
        if allowed not in {syntax.fault(each.text) for each in bad}
    }

    assert unused == set()


@pytest.mark.parametrize("syntax", [HOST, IMAGE_ALLOWANCE], ids=["host", "image"])
def test_tables_can_be_written_in_cel(syntax: Syntax) -> None:
    """They go between single quotes, the patterns in raw ones, and RE2 knows no look-around."""
    texts = [syntax.meaning, *(allowed for _, allowed in syntax.faults)]
    patterns = [syntax.pattern, *(found for found, _ in syntax.faults)]

    assert [each for each in texts if "'" in each or "\\" in each] == []
    assert [each for each in patterns if "'" in each or "(?" in each] == []


@given(st.text(max_size=12) | st.text(alphabet="ab1x-._*:/[]0%", max_size=12))
def test_whatever_is_taken_is_plain(text: str) -> None:
    """No text outside the characters of a host name ever comes through, and each refusal has a reason."""
    fault = host_fault(text)

    assert fault is None or fault
    if fault is None:
        assert re.fullmatch(r"(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)+", text)
        assert (
            not re.fullmatch(r"[0-9a-fx.]*", text.rpartition(".")[2]) or text.rpartition(".")[2][0].isalpha()
        )


@pytest.mark.parametrize(
    ("host", "pattern", "admitted"),
    [
        ("api.example.com", "api.example.com", True),
        ("api.example.com", "*.example.com", True),
        ("api.example.com", "*", False),
        ("a.b.example.com", "*.example.com", False),
        ("example.com", "*.example.com", False),
        ("*.example.com", "*.example.com", True),
        ("*.a.example.com", "*.example.com", False),
        ("*.example.com", "*.com", False),
        ("api.example.com.evil.example", "*.example.com", False),
        ("evilexample.com", "*.example.com", False),
    ],
)
def test_a_wildcard_stands_for_exactly_one_label(host: str, pattern: str, admitted: bool) -> None:  # noqa: FBT001 - a table
    """More than one would admit names that the administrator never saw."""
    assert host_admitted_by(host, [pattern]) is admitted


@pytest.mark.parametrize(
    ("image", "pattern", "admitted"),
    [
        ("registry.example/a", "registry.example/*", True),
        ("registry.example/a/b:1", "registry.example/a/*", True),
        ("registry.example.evil/a", "registry.example/*", False),
        ("registry.example/ab", "registry.example/a", False),
        ("registry.example/a:1", "registry.example/a", False),
        ("registry.example/a", "registry.example/a", True),
        ("docker.io/registry.example/a", "registry.example/*", False),
    ],
)
def test_image_is_compared_as_written(image: str, pattern: str, admitted: bool) -> None:  # noqa: FBT001 - a table
    """Filling in a registry or a tag would admit what the administrator never wrote."""
    assert image_admitted_by(image, [pattern]) is admitted
