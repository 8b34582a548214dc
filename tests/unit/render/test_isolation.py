"""Levels and the guard: what stands between tenant code and the node, and when tenant code may begin."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from support.builders import (
    BASELINE,
    IMAGE,
    POOL,
    SANDBOXED,
    USER_NAMESPACE,
    context,
    effective,
    full,
    manifest,
    tool,
)

from bulkhead import names
from bulkhead.api.workspace_class import Toleration
from bulkhead.render import ObjectKey, render

if TYPE_CHECKING:
    from bulkhead.api.effective import Effective, Isolation
    from bulkhead.render import Manifest, Rendered

TRUSTED = ("gateway", "egress")
UNTRUSTED = ("runtime", "tool-shell", "tool-search")


def _rendered(isolation: Isolation = SANDBOXED, **fields: Any) -> Rendered:
    spec = replace(full(), isolation=isolation)
    return render(spec, context(spec, **fields))


def _pod(rendered: Rendered, name: str) -> Manifest:
    spec: Manifest = manifest(rendered, "Deployment", name)["spec"]["template"]["spec"]
    return spec


def _namespace(spec: Effective, **fields: Any) -> Manifest:
    (found,) = (
        each for each in render(spec, context(spec, **fields)).manifests if each["kind"] == "Namespace"
    )
    metadata: Manifest = found["metadata"]
    return metadata


@pytest.mark.parametrize(
    ("isolation", "fields"),
    [(BASELINE, (None, None)), (USER_NAMESPACE, (None, False)), (SANDBOXED, ("gvisor", None))],
    ids=["Baseline", "UserNamespace", "Sandboxed"],
)
def test_a_level_is_on_every_untrusted_pod_and_on_no_trusted_one(
    isolation: Isolation, fields: tuple[str | None, bool | None]
) -> None:
    """ISO-KRN-001: one tool on the node's own kernel is the tenant on the node's own kernel."""
    rendered = _rendered(isolation)
    seen = {
        name: (_pod(rendered, name).get("runtimeClassName"), _pod(rendered, name).get("hostUsers"))
        for name in (*TRUSTED, *UNTRUSTED)
    }

    assert seen == dict.fromkeys(TRUSTED, (None, None)) | dict.fromkeys(UNTRUSTED, fields)


def test_all_pods_go_to_the_nodes_of_the_class() -> None:
    """A gateway outside the pool would carry a tenant's traffic through another tenant's nodes."""
    rendered = _rendered()

    for name in (*TRUSTED, *UNTRUSTED):
        assert _pod(rendered, name)["nodeSelector"] == POOL["node_selector"]
        assert _pod(rendered, name)["tolerations"] == [
            {"key": "agents", "operator": "Equal", "value": "only", "effect": "NoSchedule"},
            {"key": "spot", "operator": "Exists"},
        ]


def test_a_class_that_chooses_no_node_writes_neither_field() -> None:
    """The API server drops an empty map: written, it would look like drift for ever."""
    rendered = _rendered(BASELINE)

    for name in (*TRUSTED, *UNTRUSTED):
        assert not {"nodeSelector", "tolerations"} & _pod(rendered, name).keys()


def test_a_tolerations_seconds_are_kept_even_if_zero() -> None:
    """Left out, the pod would stay on a tainted node for ever."""
    rule = Toleration(key="slow", operator="Exists", effect="NoExecute", toleration_seconds=0)
    rendered = _rendered(replace(BASELINE, tolerations=(rule,)))

    assert _pod(rendered, "runtime")["tolerations"] == [
        {"key": "slow", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0}
    ]


def test_every_untrusted_pod_begins_with_a_guard_and_no_trusted_one_does() -> None:
    """ISO-GRD-001: tenant code that starts before its policy has a moment to leave."""
    rendered = _rendered()

    assert {name for name in (*TRUSTED, *UNTRUSTED) if "initContainers" in _pod(rendered, name)} == set(
        UNTRUSTED
    )
    for name in UNTRUSTED:
        (guard,) = _pod(rendered, name)["initContainers"]
        (guarded,) = _pod(rendered, name)["containers"]
        assert guard["name"] == names.GUARD
        assert (guard["image"], guard["args"]) == (IMAGE, ["guard"])
        assert json.loads(guard["env"][0]["value"]) == {"gateway": "198.19.128.10:8082"}
        # As large: the pod's request does not grow. As hard: it is no way around the tenant's bounds.
        assert guard["resources"] == guarded["resources"]
        assert guard["securityContext"] == guarded["securityContext"]
        assert "volumeMounts" not in guard
        assert "restartPolicy" not in guard  # a sidecar would not be waited for


def test_an_ipv6_gateway_is_written_in_brackets() -> None:
    """Without them the port is part of the address, and the guard waits for ever."""
    rendered = _rendered(service_ips={"gateway": "fd00:10::a", "egress": "fd00:10::b"})

    (guard,) = _pod(rendered, "runtime")["initContainers"]

    assert json.loads(guard["env"][0]["value"]) == {"gateway": "[fd00:10::a]:8082"}


def test_without_the_gateways_address_there_is_no_untrusted_pod() -> None:
    """A pod whose guard has nobody to ask must not exist, also where it calls nobody itself."""
    spec = effective(tools=(tool("shell"),))

    rendered = render(spec, context(spec, service_ips={}))

    assert rendered.withheld == {ObjectKey("Deployment", "tool-shell"): ("Service gateway",)}


def test_the_namespace_tells_admission_what_pods_must_be_like() -> None:
    """CEL sees the namespace and nothing else of the workspace: what is missing here is not enforced."""
    spec = replace(full(), allowed_images=("registry.example/z:1", "registry.example/agents/*"))

    metadata = _namespace(spec)

    assert metadata["labels"][names.ISOLATION_LABEL] == "Sandboxed"
    assert (
        metadata["annotations"].items()
        >= {
            names.RUNTIME_CLASS_ANNOTATION: "gvisor",
            names.ALLOWED_IMAGES_ANNOTATION: f"{IMAGE} registry.example/agents/* registry.example/z:1",
            names.NODE_SELECTOR_ANNOTATION: "arch=amd64 pool=agents",
            names.TOLERATIONS_ANNOTATION: "agents|Equal|only|NoSchedule| spot|Exists|||",
            names.GUARD_IMAGE_ANNOTATION: IMAGE,
            names.GUARD_CONFIG_ANNOTATION: '{"gateway":"198.19.128.10:8082"}',
        }.items()
    )


@pytest.mark.parametrize("isolation", [BASELINE, USER_NAMESPACE], ids=["Baseline", "UserNamespace"])
def test_only_a_sandboxed_namespace_names_a_runtime_class(isolation: Isolation) -> None:
    """An empty one would be required of every pod."""
    metadata = _namespace(effective(isolation=isolation))

    assert metadata["labels"][names.ISOLATION_LABEL] == str(isolation.level)
    assert names.RUNTIME_CLASS_ANNOTATION not in metadata["annotations"]


def test_a_guards_config_is_told_once_it_is_known() -> None:
    """Without it no pod of a tenant's is admitted: a guess would let one in whose guard asks a stranger."""
    metadata = _namespace(effective(), service_ips={})

    assert names.GUARD_CONFIG_ANNOTATION not in metadata["annotations"]
    assert metadata["annotations"][names.GUARD_IMAGE_ANNOTATION] == IMAGE
