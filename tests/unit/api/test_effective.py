from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkhead import quantity
from bulkhead.api.builtin import BUILTIN_QUOTA, BUILTIN_RESOURCES
from bulkhead.api.effective import Effective
from bulkhead.api.merge import merged_quota, merged_resources
from bulkhead.api.ranges import DENIED_CIDRS
from bulkhead.api.workspace import Quota, Resources

from .conftest import SANDBOX

if TYPE_CHECKING:
    from .conftest import Judge


def made(judged: Judge, spec: dict[str, Any], cls: dict[str, Any] | None = None) -> Effective:
    """The effective workspace; a violation fails the test with its message."""
    outcome = judged(spec, cls)
    assert isinstance(outcome, Effective), [each.message for each in outcome]
    return outcome


def test_empty_spec_and_class_are_filled_from_the_built_in_table(judged: Judge) -> None:
    """The smallest workspace must work without any administration."""
    effective = made(judged, {})

    assert (effective.tenant_id, effective.class_name) == ("acme", "standard")
    assert effective.quota == BUILTIN_QUOTA
    assert effective.gateway_resources == BUILTIN_RESOURCES["gateway"]
    assert effective.lifecycle.ttl_seconds is None
    assert (effective.lifecycle.provision_deadline_seconds, effective.lifecycle.warn_before_seconds) == (
        300,
        600,
    )
    assert effective.denied_cidrs == DENIED_CIDRS


def test_images_left_out_are_the_sandbox_image(judged: Judge) -> None:
    """It needs no allow-list entry, left out or written out."""
    effective = made(judged, {"runtime": {}, "tools": [{"name": "a"}, {"name": "b", "image": SANDBOX}]})

    assert effective.runtime is not None
    assert [effective.runtime.image, *(tool.image for tool in effective.tools)] == [SANDBOX] * 3


def test_tools_keep_the_order_of_the_spec(judged: Judge) -> None:
    """Egress ports are handed out by position."""
    effective = made(judged, {"tools": [{"name": name} for name in ("c", "a", "b")]})

    assert [tool.name for tool in effective.tools] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("wanted", "default", "ceiling", "seconds"),
    [
        ("1h", "2h", "3h", 3600),
        (None, "2h", "3h", 7200),
        (None, "4h", "3h", 10800),
        (None, None, "3h", 10800),
        (None, None, None, None),
    ],
    ids=["own", "default", "default above the ceiling", "only a ceiling", "none"],
)
def test_ttl_is_own_then_default_never_above_the_ceiling(
    wanted: str | None, default: str | None, ceiling: str | None, seconds: int | None, judged: Judge
) -> None:
    """A ceiling that a silent spec escapes would be none."""
    cls = {"defaults": {"lifecycle": {"ttl": default}}, "ceilings": {"ttl": ceiling}}

    assert made(judged, {"lifecycle": {"ttl": wanted}}, cls).lifecycle.ttl_seconds == seconds


def test_far_expiry_beside_a_ttl_is_harmless(judged: Judge) -> None:
    """The earliest deadline wins, so nothing outlives the ceiling."""
    lifecycle = {"ttl": "1h", "expiresAt": "2099-01-01T02:00:00+02:00"}
    effective = made(judged, {"lifecycle": lifecycle}, {"ceilings": {"ttl": "8h"}})

    assert effective.lifecycle.expires_at == datetime(2099, 1, 1, tzinfo=UTC)


def test_quota_merges_key_by_key_and_is_canonical(judged: Judge) -> None:
    """Own value, else the class's, else the built-in one, lowered to the ceiling."""
    cls = {
        "defaults": {"quota": {"memory": "3072Mi"}},
        "ceilings": {"quota": {"storage": "1Gi", "memory": "4Gi"}},
    }
    effective = made(judged, {"quota": {"cpu": "2000m"}}, cls)

    assert effective.quota == Quota(cpu="2", memory="3Gi", pods=20, storage="1Gi", ephemeral_storage="4Gi")


@pytest.mark.parametrize(
    ("own", "default", "request_and_limit"),
    [
        ({"requests": {"memory": "1Gi"}}, {"limits": {"memory": "512Mi"}}, ("1Gi", "1Gi")),
        ({"limits": {"memory": "32Mi"}}, {"requests": {"memory": "64Mi"}}, ("32Mi", "32Mi")),
        ({"limits": {"memory": "2048Mi"}}, {}, ("64Mi", "2Gi")),
        ({}, {"limits": {"memory": "1Gi"}}, ("64Mi", "1Gi")),
    ],
    ids=["own request lifts the limit", "own limit lowers the request", "own limit", "class limit"],
)
def test_resources_merge_and_never_request_above_the_limit(
    own: dict[str, Any], default: dict[str, Any], request_and_limit: tuple[str, str]
) -> None:
    """The API server refuses such a pod, and nobody asked for the contradiction."""
    merged = merged_resources("tool", Resources.model_validate(own), Resources.model_validate(default))

    assert (merged.requests.memory, merged.limits.memory) == request_and_limit


amounts = st.none() | st.integers(min_value=1, max_value=64).map(str)


@given(amounts, amounts, amounts, amounts)
def test_merged_resources_are_complete_canonical_and_consistent(
    request: str | None, limit: str | None, class_request: str | None, class_limit: str | None
) -> None:
    """Whatever is given, each pod gets six values that the API server accepts."""
    own = Resources.model_validate({"requests": {"cpu": request}, "limits": {"cpu": limit}})
    default = Resources.model_validate({"requests": {"cpu": class_request}, "limits": {"cpu": class_limit}})
    merged = merged_resources("runtime", own, default)

    for key in ("cpu", "memory", "ephemeral_storage"):
        low, high = getattr(merged.requests, key), getattr(merged.limits, key)
        assert quantity.exact(low) <= quantity.exact(high)
        assert (low, high) == (quantity.canonical(low), quantity.canonical(high))


@given(amounts, amounts, amounts)
def test_merged_quota_stays_below_the_ceiling_unless_asked(
    own: str | None, default: str | None, ceiling: str | None
) -> None:
    """Defaults are lowered; what a workspace itself asks for is checked elsewhere, and never changed."""
    merged = merged_quota(Quota(cpu=own), Quota(cpu=default), Quota(cpu=ceiling))

    assert merged.cpu is not None
    if own is not None:
        assert quantity.exact(merged.cpu) == quantity.exact(own)
    elif ceiling is not None:
        assert quantity.exact(merged.cpu) <= quantity.exact(ceiling)


def test_class_denied_ranges_come_on_top(judged: Judge) -> None:
    """They can only add to the built-in ones."""
    effective = made(judged, {}, {"deniedCIDRs": ["203.0.113.0/24", "10.0.0.0/8"]})

    assert effective.denied_cidrs == (*DENIED_CIDRS, "203.0.113.0/24")
