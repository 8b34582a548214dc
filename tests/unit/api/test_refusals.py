"""The operator refuses by itself what the API server refuses: an older CRD may be installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.bad_specs import BAD_CLASSES, BAD_NAMES, BAD_SPECS, MODEL

from bulkhead.api.ceilings import QUOTA_KEYS
from bulkhead.api.conditions import Reason
from bulkhead.api.effective import Effective
from bulkhead.api.workspace import Quota

from .conftest import SANDBOX, parsed_class

if TYPE_CHECKING:
    from support.bad_specs import BadSpec

    from .conftest import Judge

# A class that admits everything the bad specs name, so that only the spec itself can be at fault.
OPEN: dict[str, Any] = {
    "ceilings": {"tools": 32},
    "allowed": {
        "images": ["registry.example/*"],
        "egressHosts": ["a.example"],
        "egressCIDRs": ["0.0.0.0/0", "::/0"],
        "secretNamespaces": ["n"],
    },
}

# (what, spec, class, field, words of the message)
BEYOND = [
    ("ttl", {"lifecycle": {"ttl": "9h"}}, {"ceilings": {"ttl": "8h"}}, "spec.lifecycle.ttl", ("9h", "8h")),
    (
        "expiry",
        {"lifecycle": {"expiresAt": "2026-11-01T17:00:00Z"}},
        {"ceilings": {"ttl": "8h"}},
        "spec.lifecycle.expiresAt",
        ("2026-11-01T17:00:00Z", "2026-11-01T16:00:00Z"),
    ),
    (
        "tools",
        {"tools": [{"name": "a"}, {"name": "b"}]},
        {"ceilings": {"tools": 1}},
        "spec.tools",
        ("2", "1"),
    ),
    ("image", {"tools": [{"name": "a", "image": "x/y"}]}, {}, "spec.tools[0].image", ("x/y", "none")),
    (
        "image that only begins alike",
        {"runtime": {"image": "registry.example/agentsx/a"}},
        {"allowed": {"images": ["registry.example/agents/*"]}},
        "spec.runtime.image",
        ("registry.example/agents/*",),
    ),
    (
        "host",
        {"runtime": {}, "egress": [{"host": "evil.example"}]},
        {"allowed": {"egressHosts": ["*.example.com"]}},
        "spec.egress[0].host",
        ("evil.example", "*.example.com"),
    ),
    (
        "host of a tool",
        {"tools": [{"name": "a"}, {"name": "b", "egress": [{"host": "evil.example"}]}]},
        {},
        "spec.tools[1].egress[0].host",
        ("evil.example", "none"),
    ),
    (
        "cidr",
        {"runtime": {}, "egress": [{"cidr": "203.0.112.0/23"}]},
        {"allowed": {"egressCIDRs": ["203.0.113.0/24"]}},
        "spec.egress[0].cidr",
        ("203.0.112.0/23", "203.0.113.0/24"),
    ),
    (
        "cidr that the class denies",
        {"runtime": {}, "egress": [{"cidr": "203.0.113.128/26"}]},
        {"allowed": {"egressCIDRs": ["203.0.113.0/24"]}, "deniedCIDRs": ["203.0.113.128/25"]},
        "spec.egress[0].cidr",
        ("203.0.113.128/26", "203.0.113.128/25"),
    ),
    (
        "IPv6 range that the class denies",
        {"runtime": {}, "egress": [{"cidr": "2001:db8:7::/64"}]},
        {"allowed": {"egressCIDRs": ["2001:db8::/32"]}, "deniedCIDRs": ["2001:db8:7::/48"]},
        "spec.egress[0].cidr",
        ("2001:db8:7::/64", "2001:db8:7::/48"),
    ),
    (
        "IPv6 range beside the allowed one",
        {"tools": [{"name": "a", "egress": [{"cidr": "2001:db9::/32"}]}]},
        {"allowed": {"egressCIDRs": ["2001:db8::/32", "0.0.0.0/0"]}},
        "spec.tools[0].egress[0].cidr",
        ("2001:db9::/32", "2001:db8::/32"),
    ),
    (
        "model",
        {"model": {"name": "large"}},
        {"models": [MODEL | {"name": "small"}, MODEL | {"name": "medium"}]},
        "spec.model.name",
        ("large", "medium, small"),
    ),
    ("model where there is none", {"model": {"name": "m"}}, {}, "spec.model.name", ("none",)),
    (
        "requests of a user",
        {"limits": {"perUser": {"requestsPerMinute": 61}}},
        {"ceilings": {"limits": {"perUser": {"requestsPerMinute": 60}}}},
        "spec.limits.perUser.requestsPerMinute",
        ("61", "60"),
    ),
    (
        "tokens of a tenant",
        {"limits": {"tenant": {"tokensPerDay": 2}}},
        {"ceilings": {"limits": {"tenant": {"tokensPerDay": 1}}}},
        "spec.limits.tenant.tokensPerDay",
        ("2", "1"),
    ),
    (
        "secret namespace",
        {"secrets": [{"name": "k", "from": {"namespace": "kube-system", "name": "s", "key": "v"}}]},
        {"allowed": {"secretNamespaces": ["platform"]}},
        "spec.secrets[0].from.namespace",
        ("kube-system", "platform"),
    ),
]


@pytest.mark.parametrize("bad", BAD_SPECS, ids=[bad.id for bad in BAD_SPECS])
def test_bad_spec_becomes_a_violation_that_names_the_field(bad: BadSpec, judged: Judge) -> None:
    """Neither a crash nor a half-made workspace: the reason is InvalidSpec and the message says where."""
    outcome = judged(bad.spec, OPEN)

    assert not isinstance(outcome, Effective)
    assert {violation.reason for violation in outcome} == {Reason.INVALID_SPEC}
    assert any(bad.field in violation.message for violation in outcome)
    assert all(violation.allowed for violation in outcome)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name_becomes_a_violation(name: str, judged: Judge) -> None:
    """Derived names are never cut, so a longer one must not come through."""
    outcome = judged({}, name=name)

    assert not isinstance(outcome, Effective)
    assert [violation.field for violation in outcome] == ["metadata.name"]


@pytest.mark.parametrize("bad", BAD_CLASSES, ids=[bad.id for bad in BAD_CLASSES])
def test_bad_class_becomes_violations(bad: BadSpec) -> None:
    """A class that cannot be read must say why to everyone who names it."""
    spec = parsed_class(bad.spec).spec

    assert isinstance(spec, tuple)
    assert any(bad.field in violation.message for violation in spec)


@pytest.mark.parametrize(
    ("spec", "cls", "field", "words"), [case[1:] for case in BEYOND], ids=[case[0] for case in BEYOND]
)
def test_beyond_the_class_names_field_value_and_ceiling(
    spec: dict[str, Any], cls: dict[str, Any], field: str, words: tuple[str, ...], judged: Judge
) -> None:
    """A user must see what to ask the administrator for."""
    outcome = judged(spec, cls)

    assert not isinstance(outcome, Effective)
    assert [(each.reason, each.field) for each in outcome] == [(Reason.EXCEEDS_CLASS, field)]
    for word in words:
        assert word in outcome[0].message


@pytest.mark.parametrize(
    ("key", "given", "ceiling"),
    [
        ("cpu", "2001m", 2),
        ("memory", "4097Mi", "4Gi"),
        ("pods", 11, 10),
        ("storage", "1001M", "1G"),
        ("ephemeralStorage", "2Gi", "1.5Gi"),
    ],
)
def test_every_key_of_the_quota_has_a_ceiling(key: str, given: Any, ceiling: Any, judged: Judge) -> None:
    """A key without one would be a way around all the others."""
    outcome = judged({"quota": {key: given}}, {"ceilings": {"quota": {key: ceiling}}})

    assert not isinstance(outcome, Effective)
    assert [each.message for each in outcome] == [
        f"spec.quota.{key}: {given} is not allowed; allowed: at most {ceiling}, the class's ceiling"
    ]


def test_no_key_of_the_quota_is_left_out() -> None:
    """The table above and the checks know as many keys as the model."""
    assert {field.alias for field in Quota.model_fields.values()} == set(QUOTA_KEYS.values())


@pytest.mark.parametrize("image", [None, SANDBOX], ids=["left out", "written out"])
def test_arguments_for_our_own_tool_runner_are_refused(image: str | None, judged: Judge) -> None:
    """It takes none and would end at once, over and over."""
    outcome = judged({"tools": [{"name": "a", "image": image, "args": ["--verbose"]}]})

    assert not isinstance(outcome, Effective)
    assert [(each.reason, each.field, each.given) for each in outcome] == [
        (Reason.INVALID_SPEC, "spec.tools[0].args", "--verbose")
    ]


@pytest.mark.parametrize(
    "tool", [{"command": ["/bin/sh"], "args": ["-c", "true"]}, {"image": "registry.example/a", "args": ["x"]}]
)
def test_arguments_of_something_else_are_the_tenants(tool: dict[str, Any], judged: Judge) -> None:
    """What a tenant's own program takes is nobody's business."""
    assert isinstance(judged({"tools": [{"name": "a", **tool}]}, OPEN), Effective)


def test_all_violations_come_at_once(judged: Judge) -> None:
    """One round trip an error would make a long morning."""
    outcome = judged(
        {"lifecycle": {"ttl": "9h"}, "tools": [{"name": "a", "image": "x"}]}, {"ceilings": {"ttl": "8h"}}
    )

    assert not isinstance(outcome, Effective)
    assert [each.field for each in outcome] == ["spec.lifecycle.ttl", "spec.tools[0].image"]


def test_expiry_before_creation_is_refused(judged: Judge) -> None:
    """It would be torn down before it is made."""
    outcome = judged({"lifecycle": {"expiresAt": "2026-11-01T08:00:00Z"}})

    assert not isinstance(outcome, Effective)
    assert [each.field for each in outcome] == ["spec.lifecycle.expiresAt"]


def test_quota_that_cannot_hold_the_pods_is_refused(judged: Judge) -> None:
    """A pod that the quota can never admit would leave the workspace half made for ever."""
    outcome = judged(
        {"runtime": {"replicas": 3, "resources": {"limits": {"cpu": 1}}}, "quota": {"cpu": "2", "pods": 3}}
    )

    assert not isinstance(outcome, Effective)
    assert [(each.field, each.given) for each in outcome] == [
        ("spec.quota.cpu", "2"),
        ("spec.quota.pods", "3"),
    ]
    assert outcome[0].allowed == "at least 3500m, the sum for gateway, runtime x3"


def test_volume_larger_than_the_quota_is_refused(judged: Judge) -> None:
    """The claim would stay pending."""
    outcome = judged({"runtime": {"storage": {"size": "2Gi"}}, "quota": {"storage": "2Gi"}})

    assert not isinstance(outcome, Effective)
    assert [each.message for each in outcome] == [
        "spec.quota.storage: 2Gi is not allowed; allowed: at least 3Gi, the sum for volumes"
    ]
