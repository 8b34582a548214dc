from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest

from bulkhead_sandbox.config import (
    VARIABLE,
    ConfigError,
    EgressConfig,
    EgressListener,
    EgressRuleConfig,
    GatewayConfig,
    read,
)
from bulkhead_sandbox.shape import Bounds, ShapeError, decode

EGRESS: dict[str, Any] = {
    "workspace": "acme",
    "workspace_uid": "u",
    "health_listen": 8081,
    "denied_cidrs": ["10.0.0.0/8"],
    "listeners": [{"port": 3128, "client": "runtime", "rules": [{"host": "a.example", "ports": [443]}]}],
}


def test_config_is_read_whole() -> None:
    """A role would start with half of its rules."""
    assert read(EgressConfig, {VARIABLE: json.dumps(EGRESS)}) == EgressConfig(
        workspace="acme",
        workspace_uid="u",
        health_listen=8081,
        denied_cidrs=("10.0.0.0/8",),
        listeners=(
            EgressListener(
                port=3128, client="runtime", rules=(EgressRuleConfig(host="a.example", ports=(443,)),)
            ),
        ),
    )


_LISTENER = EGRESS["listeners"][0]
WRONG: dict[str, tuple[str, str]] = {
    "not set": ("", "BULKHEAD_CONFIG is not set"),
    "no json": ("{", "BULKHEAD_CONFIG: not valid JSON"),
    "field twice": ('{"workspace": "a", "workspace": "b"}', "BULKHEAD_CONFIG: duplicate key"),
    "a list": ("[]", "BULKHEAD_CONFIG: (top): must be an object"),
    "unknown field": (json.dumps({**EGRESS, "x": 1}), "BULKHEAD_CONFIG: x: is not a field here"),
    "missing field": (
        json.dumps({k: v for k, v in EGRESS.items() if k != "denied_cidrs"}),
        "BULKHEAD_CONFIG: denied_cidrs: is missing",
    ),
    "port beyond": (
        json.dumps({**EGRESS, "health_listen": 65536}),
        "BULKHEAD_CONFIG: health_listen: must be 0 to 65535",
    ),
    "deep inside": (
        json.dumps({**EGRESS, "listeners": [_LISTENER, {**_LISTENER, "rules": [{"ports": ["443"]}]}]}),
        "BULKHEAD_CONFIG: listeners[1].rules[0].ports[0]: must be an integer",
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_config_names_the_field(text: str, message: str) -> None:
    """A pod in a crash loop with a riddle for a reason."""
    with pytest.raises(ConfigError) as caught:
        read(EgressConfig, {VARIABLE: text})
    assert message in str(caught.value)


def test_one_role_does_not_read_the_config_of_another() -> None:
    """Two roles with the same image: a mix-up must not start."""
    with pytest.raises(ConfigError):
        read(GatewayConfig, {VARIABLE: json.dumps(EGRESS)})


@dataclass(frozen=True)
class Sample:
    name: Annotated[str, Bounds(1, 3)] = "x"
    count: int | None = None
    flag: bool = False
    kind: Literal["a", "b"] = "a"
    items: Annotated[tuple[int, ...], Bounds(0, 2)] = ()
    free: dict[str, Any] | None = None


NOT_A_SAMPLE: dict[str, tuple[dict[str, Any], str]] = {
    "text for a number": ({"count": "1"}, "count"),
    "true for a number": ({"count": True}, "count"),
    "1.0 for a number": ({"count": 1.0}, "count"),
    "1 for true": ({"flag": 1}, "flag"),
    "number for text": ({"name": 1}, "name"),
    "text too long": ({"name": "abcd"}, "name"),
    "text too short": ({"name": ""}, "name"),
    "none for text": ({"name": None}, "name"),
    "not one of": ({"kind": "c"}, "kind"),
    "text for a list": ({"items": "12"}, "items"),
    "list too long": ({"items": [1, 2, 3]}, "items"),
    "wrong item": ({"items": [1, None]}, "items[1]"),
    "list for an object": ({"free": []}, "free"),
    "list for one of": ({"kind": ["a"]}, "kind"),
}


@pytest.mark.parametrize(("value", "field"), NOT_A_SAMPLE.values(), ids=NOT_A_SAMPLE.keys())
def test_value_of_another_kind_is_refused_by_name(value: dict[str, Any], field: str) -> None:
    """Python would take True for 1 and a text for a list."""
    with pytest.raises(ShapeError) as caught:
        decode(Sample, value)
    assert caught.value.field == field


def test_values_that_fit_are_taken() -> None:
    """And nothing is changed on the way."""
    value = {"name": "abc", "count": None, "flag": True, "kind": "b", "items": [1, 2], "free": {"x": [1]}}
    assert decode(Sample, value) == Sample("abc", None, True, "b", (1, 2), {"x": [1]})  # noqa: FBT003
    assert decode(Sample, {}) == Sample()


def test_error_quotes_no_value() -> None:
    """What was refused may be a secret in the wrong field."""
    with pytest.raises(ShapeError) as caught:
        decode(Sample, {"kind": "planted"})
    assert "planted" not in str(caught.value)
