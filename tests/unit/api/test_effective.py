from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.bad_specs import MODEL

from bulkhead import quantity
from bulkhead.api.builtin import BUILTIN_QUOTA, BUILTIN_RATES, BUILTIN_RESOURCES
from bulkhead.api.effective import Effective, Isolation, resolve
from bulkhead.api.gateway import GatewayStorage, Limits, Rates
from bulkhead.api.merge import merged_limits, merged_quota, merged_resources
from bulkhead.api.ranges import DENIED_CIDRS
from bulkhead.api.workspace import Quota, Resources, WorkspaceSpec
from bulkhead.api.workspace_class import (
    IsolationLevel,
    Toleration,
    TolerationOperator,
    WorkspaceClassSpec,
)

from .conftest import CREATED, SANDBOX

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


cores = st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,3})?|[0-9]{1,9}m", fullmatch=True).filter(quantity.exact)
sizes = st.from_regex(r"[0-9]{1,15}(\.[0-9]{1,3})?(k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?", fullmatch=True).filter(
    lambda text: len(text) <= 20 and quantity.exact(text) > 0
)


@given(cores, sizes)
@example("1000", "1000P")
@example("999999.999", "1024Pi")
def test_whatever_the_schema_takes_can_be_merged(cpu: str, size: str) -> None:
    """The API server spells 1000 cores `1k`: refused as input, it ended the reconcile in a traceback."""
    quota = Quota.model_validate({"cpu": cpu, "memory": size, "storage": size, "ephemeralStorage": size})
    resources = Resources.model_validate({"limits": {"cpu": cpu, "memory": size, "ephemeralStorage": size}})

    merged = merged_quota(quota, Quota(), Quota())
    one = merged_resources("tool", resources)

    assert merged.cpu == one.limits.cpu == quantity.canonical(cpu)
    assert {merged.memory, merged.storage, one.limits.ephemeral_storage} == {quantity.canonical(size)}


def test_class_denied_ranges_come_on_top(judged: Judge) -> None:
    """They can only add to the built-in ones."""
    effective = made(judged, {}, {"deniedCIDRs": ["203.0.113.0/24", "10.0.0.0/8"]})

    assert effective.denied_cidrs == (*DENIED_CIDRS, "203.0.113.0/24")


def test_isolation_is_the_classes(judged: Judge) -> None:
    """Nothing in a workspace can choose or weaken it."""
    isolation = {
        "level": "Sandboxed",
        "runtimeClassName": "gvisor",
        "nodeSelector": {"pool": "agents", "arch": "amd64"},
        "tolerations": [{"key": "b", "operator": "Exists"}, {"key": "a"}, {"key": "a"}],
    }
    effective = made(judged, {"isolation": {"level": "Baseline"}}, {"isolation": isolation})

    assert effective.isolation == Isolation(
        level=IsolationLevel.SANDBOXED,
        runtime_class="gvisor",
        node_selector={"arch": "amd64", "pool": "agents"},
        tolerations=(Toleration(key="a"), Toleration(key="b", operator=TolerationOperator.EXISTS)),
    )


def test_isolation_without_a_word_is_baseline(judged: Judge) -> None:
    """It works on every cluster."""
    assert made(judged, {}).isolation == Isolation(
        level=IsolationLevel.BASELINE, runtime_class=None, node_selector={}, tolerations=()
    )


def test_allowed_images_are_the_classes_sorted(judged: Judge) -> None:
    """They stand in an annotation of the namespace, where another order would be a change."""
    cls = {"allowed": {"images": ["registry.example/b/*", "a/b:1"]}}

    assert made(judged, {}, cls).allowed_images == ("a/b:1", "registry.example/b/*")


@pytest.mark.parametrize(
    ("cidr", "denied", "closed"),
    [
        ("172.0.0.0/8", [], "172.16.0.0/12"),
        ("203.0.112.0/22", ["203.0.113.0/25", "203.0.113.128/25"], "203.0.113.0/24"),
        ("64:ff9b::/32", [], "64:ff9b::/96, 64:ff9b:1::/48"),
        ("2001:db8::/32", ["2001:db8:7::/48"], "2001:db8:7::/48"),
    ],
    ids=["always denied", "denied by the class", "IPv6 always denied", "IPv6 denied by the class"],
)
def test_range_that_reaches_into_a_denied_one_is_narrowed_and_it_is_said(
    cidr: str, denied: list[str], closed: str, judged: Judge
) -> None:
    """An address that does not answer although its range was granted must not be a riddle."""
    cls = {"allowed": {"egressCIDRs": ["0.0.0.0/0", "::/0"]}, "deniedCIDRs": denied}
    rules = [{"cidr": "198.51.100.0/24"}, {"cidr": cidr}]
    effective = made(judged, {"tools": [{"name": "a", "egress": rules}]}, cls)

    assert effective.remarks == (
        f"spec.tools[0].egress[1].cidr: {cidr} is open but for {closed}, denied always or by the class",
    )


def test_nothing_is_remarked_where_all_is_as_asked(judged: Judge) -> None:
    """A remark that is always there is not read."""
    spec = {"runtime": {}, "egress": [{"cidr": "203.0.113.0/24"}, {"cidr": "2001:db8::/32"}]}

    assert made(judged, spec, {"allowed": {"egressCIDRs": ["0.0.0.0/0", "::/0"]}}).remarks == ()


def test_limits_without_a_word_are_the_built_in_ones_and_ten_times_them(judged: Judge) -> None:
    """A workspace without limits would let one user spend what all share."""
    limits = made(judged, {}).limits

    assert limits.per_user == BUILTIN_RATES
    assert limits.tenant == Rates(
        requests_per_minute=600, tokens_per_minute=200_000, tokens_per_day=5_000_000, concurrent=40
    )


def test_limits_merge_key_by_key_and_the_tenant_follows_the_user(judged: Judge) -> None:
    """Own value, else the class's, else built in; a default above the ceiling is lowered to it."""
    cls = {
        "defaults": {"limits": {"perUser": {"tokensPerMinute": 9000}, "tenant": {"tokensPerDay": 7}}},
        "ceilings": {"limits": {"perUser": {"concurrent": 2}, "tenant": {"requestsPerMinute": 25}}},
    }
    limits = made(judged, {"limits": {"perUser": {"requestsPerMinute": 3}}}, cls).limits

    assert limits.per_user == Rates(
        requests_per_minute=3, tokens_per_minute=9000, tokens_per_day=500_000, concurrent=2
    )
    assert limits.tenant == Rates(
        requests_per_minute=25, tokens_per_minute=90_000, tokens_per_day=7, concurrent=20
    )


rates = st.none() | st.integers(min_value=1, max_value=1000)


@given(rates, rates, rates, rates)
def test_limits_are_complete_and_no_default_exceeds_its_ceiling(
    own: int | None, default: int | None, ceiling: int | None, tenant_ceiling: int | None
) -> None:
    """The gateway needs every number; a ceiling that silence escapes would be none."""
    merged = merged_limits(
        Limits(per_user=Rates(concurrent=own)),
        Limits(per_user=Rates(concurrent=default)),
        Limits(per_user=Rates(concurrent=ceiling), tenant=Rates(concurrent=tenant_ceiling)),
    )

    assert None not in {*merged.per_user.model_dump().values(), *merged.tenant.model_dump().values()}
    if own is None and ceiling is not None:
        assert merged.per_user.concurrent <= ceiling  # type: ignore[operator] # no None, as just seen
    if tenant_ceiling is not None:
        assert merged.tenant.concurrent <= tenant_ceiling  # type: ignore[operator] # likewise


def test_the_model_is_the_classs_with_its_name_for_the_server(judged: Judge) -> None:
    """A workspace chooses a name and no more: neither address nor key is its business."""
    cls = {"models": [MODEL | {"name": "other"}, MODEL | {"upstreamName": "llama-3"}]}

    model, other = (made(judged, {"model": {"name": name}}, cls).model for name in (MODEL["name"], "other"))

    assert model is not None
    assert other is not None
    assert (model.url, model.upstream_name) == (MODEL["url"], "llama-3")
    assert (other.name, other.upstream_name) == ("other", "other")
    assert made(judged, {}, cls).model is None


def test_the_gateways_volume_and_memory_come_from_class_and_spec(judged: Judge) -> None:
    """Canonical: the API server's spelling must not look like an edit."""
    cls = {"gateway": {"storage": {"size": "2048Mi", "storageClassName": "fast"}}}
    effective = made(judged, {"memory": {"sessionTTL": "90m"}}, cls)

    assert effective.gateway_storage == GatewayStorage(size="2Gi", storage_class_name="fast")
    assert effective.memory_session_ttl_seconds == 5400
    assert made(judged, {}).gateway_storage == GatewayStorage(size="1Gi")
    assert made(judged, {}).memory_session_ttl_seconds == 3600


CLASS: dict[str, Any] = {
    "isolation": {
        "level": "Sandboxed",
        "runtimeClassName": "gvisor",
        "nodeSelector": {"a": "1", "b": "2", "c": "3"},
        "tolerations": [{"key": "x"}, {"key": "y", "operator": "Exists"}, {"operator": "Exists"}],
    },
    "defaults": {
        "lifecycle": {"ttl": "3h", "idleTTL": "1h"},
        "quota": {"cpu": "5000m", "pods": 30, "memory": "6Gi"},
        "limits": {"perUser": {"tokensPerDay": 5}, "tenant": {"concurrent": 9}},
        "resources": {"tool": {"limits": {"cpu": "1"}}, "runtime": {"requests": {"memory": "1Gi"}}},
    },
    "ceilings": {"ttl": "2h", "quota": {"memory": "5Gi", "storage": "9Gi"}},
    "allowed": {
        "images": ["r.example/a/*", "r.example/b/*", "r.example/c"],
        "egressHosts": ["*.example.com", "api.example", "b.example"],
        "egressCIDRs": ["203.0.112.0/22", "172.0.0.0/8", "2001:db8::/32"],
        "secretNamespaces": ["platform", "other"],
    },
    "deniedCIDRs": ["203.0.113.0/24", "198.51.100.0/24", "2001:db8:7::/48"],
    "models": [
        MODEL,
        {**MODEL, "name": "far", "pods": None, "cidrs": ["203.0.113.0/24", "2001:db8::/32"]},
    ],
    "gateway": {"clients": [{"namespaceLabels": {"a": "b", "c": "d"}}, {"namespaceLabels": {"e": "f"}}]},
}
SPEC: dict[str, Any] = {
    "tenantID": "t",
    "lifecycle": {"provisionDeadline": "7m"},
    "runtime": {"image": "r.example/a/x", "resources": {"limits": {"cpu": "750m"}}},
    "tools": [
        {"name": "one", "secrets": ["key"], "resources": {"requests": {"memory": "300Mi"}}},
        {"name": "two", "image": "r.example/c", "egress": [{"host": "x.example.com", "ports": [443, 8443]}]},
    ],
    "egress": [{"cidr": "172.0.0.0/8"}, {"cidr": "2001:db8::/32", "ports": [5432]}, {"host": "api.example"}],
    "model": {"name": "far"},
    "limits": {"perUser": {"requestsPerMinute": 30}},
    "memory": {"sessionTTL": "20m"},
    "secrets": [{"name": "key", "from": {"namespace": "other", "name": "n", "key": "k"}}],
    "quota": {"cpu": "4.5", "ephemeralStorage": "5000Mi"},
}


@st.composite
def reordered(draw: st.DrawFn, value: Any, *, lists: bool) -> Any:
    """The same object with its keys in another order and, where asked, its lists too."""
    if isinstance(value, dict):
        keys = draw(st.permutations(sorted(value)))
        return {key: draw(reordered(value[key], lists=lists)) for key in keys}
    if isinstance(value, list):
        entries = draw(st.permutations(value)) if lists else value
        return [draw(reordered(each, lists=lists)) for each in entries]
    return value


def resolved(spec: dict[str, Any], cls: dict[str, Any]) -> Effective:
    """The workspace of the two, which must fit together."""
    outcome = resolve(
        name="acme",
        uid="u-1",
        generation=1,
        created_at=CREATED,
        spec=WorkspaceSpec.model_validate(spec),
        cls_name="standard",
        cls_spec=WorkspaceClassSpec.model_validate(cls),
        sandbox_image=SANDBOX,
    )
    assert isinstance(outcome, Effective), [each.message for each in outcome]
    return outcome


# The lists of a workspace are in the tenant's order: egress ports follow it.
@given(reordered(SPEC, lists=False), reordered(CLASS, lists=True))
def test_order_of_keys_and_of_a_classs_lists_does_not_matter(
    spec: dict[str, Any], cls: dict[str, Any]
) -> None:
    """An edit that only moves lines must not roll a pod, nor may two operators disagree."""
    again, first = resolved(spec, cls), resolved(SPEC, CLASS)

    assert again == first
    assert repr(again) == repr(first)


def test_resolving_what_was_resolved_changes_nothing() -> None:
    """Defaults are filled in once: what came out, asked for explicitly, comes out again."""
    first = resolved(SPEC, CLASS)
    assert first.runtime is not None
    explicit = {
        **SPEC,
        "lifecycle": {
            "ttl": f"{first.lifecycle.ttl_seconds}s",
            "idleTTL": f"{first.lifecycle.idle_ttl_seconds}s",
            "provisionDeadline": f"{first.lifecycle.provision_deadline_seconds}s",
            "warnBefore": f"{first.lifecycle.warn_before_seconds}s",
        },
        "runtime": first.runtime.model_dump(by_alias=True),
        "tools": [tool.model_dump(by_alias=True) for tool in first.tools],
        "quota": first.quota.model_dump(by_alias=True),
        "limits": first.limits.model_dump(by_alias=True),
        "memory": {"sessionTTL": f"{first.memory_session_ttl_seconds}s"},
    }

    assert resolved(explicit, CLASS) == first
