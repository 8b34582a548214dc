"""The guard in front of whatever a tenant starts: put there by the API server, and nobody talks it out."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from support.pod_edits import HARD, IMAGE, compliant
from support.tenant_spaces import (
    ALLOWED_IMAGES,
    GUARD_CONFIG,
    GUARD_IMAGE,
    LEVELS,
    Space,
    refusal_of,
    runtime_classes,
    space,
)

from bulkhead import names
from kubelive import ApiRefusal, Live, Ref, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Manifest = dict[str, Any]
GUARD: Manifest = {
    "name": "guard",
    "image": GUARD_IMAGE,
    "args": ["guard"],
    "env": [{"name": "BULKHEAD_CONFIG", "value": GUARD_CONFIG}],
    "securityContext": HARD,
}
CASES: list[tuple[str, Callable[[Manifest], object], str]] = [
    ("another image", lambda g: g.update(image="registry.example/agents/true:1"), "[0].image"),
    ("no image of ours", lambda g: g.update(image=f"{GUARD_IMAGE}@sha256:{'0' * 64}"), "image"),
    ("another command", lambda g: g.update(command=["/bin/true"]), "[0]: the guard must not have command"),
    ("other arguments", lambda g: g.update(args=["runtime"]), "[0].args"),
    ("no arguments", lambda g: g.pop("args"), "[0].args"),
    ("more arguments", lambda g: g.update(args=["guard", "--help"]), "[0].args"),
    ("another gateway", lambda g: g.update(
        env=[{"name": "BULKHEAD_CONFIG", "value": '{"gateway":"10.6.6.6:8082"}'}]), "[0].env"),
    ("one more variable", lambda g: g["env"].append({"name": "PYTHONPATH", "value": "/x"}), "[0].env"),
    ("variables from elsewhere", lambda g: g.update(envFrom=[{"configMapRef": {"name": "x"}}]),
     "[0]: the guard must not have envFrom"),
    ("beside the rest", lambda g: g.update(restartPolicy="Always"),
     "[0]: the guard must not have restartPolicy"),
    ("a mount over its code", lambda g: g.update(volumeMounts=[{"name": "v", "mountPath": "/app"}]),
     "[0]: the guard must not have volumeMounts"),
    ("another folder", lambda g: g.update(workingDir="/x"), "[0]: the guard must not have workingDir"),
    ("another name", lambda g: g.update(name="other"), "initContainers"),
]  # fmt: skip


@pytest.fixture(scope="module")
def spaces(glass: Live) -> Iterator[dict[str, Space]]:
    """A namespace a level, as the operator makes it."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(runtime_classes(glass))
        yield {level: stack.enter_context(space(glass, level)) for level in LEVELS}


def pod(where: Space, spec: Manifest, name: str = "case") -> Manifest:
    """A pod of the tenant's."""
    return where.manifest("Pod", name, spec=spec)


@pytest.mark.parametrize("level", LEVELS)
def test_the_guard_comes_first(spaces: dict[str, Space], level: str) -> None:
    """What starts before it starts while the network may still be open, a sidecar above all."""
    where, spec = spaces[level], compliant()
    resources = {"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}
    spec["containers"][0]["resources"] = resources
    spec["initContainers"] = [
        {"name": "first", "image": IMAGE, "securityContext": HARD, "restartPolicy": "Always"}
    ]

    made = where.lead.create(pod(where, spec), dry_run=True)["spec"]["initContainers"]

    assert ["guard", "first"] == [container["name"] for container in made]
    guard = made[0]
    assert (GUARD_IMAGE, ["guard"], GUARD["env"]) == (guard["image"], guard["args"], guard["env"])
    # As large as what it guards: the pod's request does not grow by it.
    assert resources == guard["resources"]
    assert guard["securityContext"]["readOnlyRootFilesystem"]
    assert (names.POD_UID, True) == (
        guard["securityContext"]["runAsUser"],
        guard["securityContext"]["runAsNonRoot"],
    )


def test_the_guard_has_what_the_limit_range_gives_the_container(glass: Live) -> None:
    """Where the quota counts limits, a guard without any would keep every bare pod out."""
    with space(glass) as where:
        limit = {"type": "Container", "default": {"cpu": "500m"}, "defaultRequest": {"cpu": "50m"}}
        glass.create(where.manifest("LimitRange", "workspace", spec={"limits": [limit]}))

        made = where.lead.create(pod(where, compliant()), dry_run=True)["spec"]

    expected = {"limits": {"cpu": "500m"}, "requests": {"cpu": "50m"}}
    assert expected == made["containers"][0]["resources"]
    assert expected == made["initContainers"][0]["resources"]


def test_a_pod_has_no_resolver(spaces: dict[str, Space]) -> None:
    """No policy lets it reach one: without this it would wait five seconds for each name."""
    where = spaces["Baseline"]

    made = where.lead.create(pod(where, compliant()), dry_run=True)["spec"]

    assert ("None", {"nameservers": ["127.0.0.1"]}) == (made["dnsPolicy"], made["dnsConfig"])


def test_a_pod_may_bring_the_very_guard(spaces: dict[str, Space]) -> None:
    """The control of the table below; `kubectl get -o yaml` of a pod can be applied again."""
    where, spec = spaces["Baseline"], compliant()
    spec["initContainers"] = [GUARD]

    made = where.lead.create(pod(where, spec), dry_run=True)["spec"]["initContainers"]

    assert ["guard"] == [container["name"] for container in made]


@pytest.mark.parametrize(("edit", "field"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_guard_of_the_tenants_own_making_is_refused(
    spaces: dict[str, Space], edit: Callable[[Manifest], object], field: str
) -> None:
    """A guard that ends at once, or beside the rest, is none."""
    where, spec = spaces["Baseline"], compliant()
    guard = {**GUARD, "env": list(GUARD["env"])}
    edit(guard)
    spec["volumes"] = [{"name": "v", "emptyDir": {}}]
    # Under another name it is no guard: the real one comes before it, unless the pod brings that one too.
    spec["initContainers"] = [guard] if guard["name"] == "guard" else [guard, GUARD]

    status, message = refusal_of(where.lead, pod(where, spec))

    assert (403 if guard["name"] == "guard" else 422) == status
    assert field in message


@pytest.mark.parametrize("missing", ["guard_image", "guard_config"])
def test_without_a_guard_to_put_there_no_pod_starts(glass: Live, missing: str) -> None:
    """Before the gateway has an address, nothing of the tenant's may run; nor if the note was lost."""
    annotations: dict[str, Any] = {missing: None}
    with space(glass, **annotations) as where:
        status, message = refusal_of(where.lead, pod(where, compliant()))

    assert 403 == status
    assert "does not carry the guard's image and config yet" in message


def test_the_guard_stays_where_a_pod_is_updated_after_the_image_moved_on(glass: Live) -> None:
    """After an upgrade of the sandbox image, pods of before still lose finalizers and gain deadlines."""
    with space(glass) as where:
        where.lead.create(pod(where, compliant(), "old"))
        newer = f"{GUARD_IMAGE}-next"
        told = {
            names.GUARD_IMAGE_ANNOTATION: newer,
            names.ALLOWED_IMAGES_ANNOTATION: f"{ALLOWED_IMAGES} {newer}",
        }
        merge = "application/merge-patch+json"
        glass.merge(Ref("Namespace", where.name), {"metadata": {"annotations": told}})
        path = f"/api/v1/namespaces/{where.name}/pods/old"

        left = where.lead.call("PATCH", path, {"spec": {"activeDeadlineSeconds": 60}}, content_type=merge)

    assert (60, GUARD_IMAGE) == (
        left["spec"]["activeDeadlineSeconds"],
        left["spec"]["initContainers"][0]["image"],
    )


@pytest.mark.parametrize("door", ["exec", "attach"])
@pytest.mark.parametrize("user", ["lead", "admin", "glass"])
def test_nobody_enters_a_guard(
    spaces: dict[str, Space], door: str, user: str, request: pytest.FixtureRequest
) -> None:
    """While it waits, the network may be open: a shell inside it would use that."""
    where = spaces["Baseline"]
    live = where.lead if user == "lead" else request.getfixturevalue(user)
    name = f"entered-{door}-{user}"
    gate = {"schedulingGates": [{"name": "bulkhead.test/never"}]}
    where.lead.create(pod(where, compliant() | gate, name))
    path = f"/api/v1/namespaces/{where.name}/pods/{name}/{door}?container="

    with pytest.raises(ApiRefusal) as refused:
        live.call("POST", f"{path}guard&command=sh&stdout=true")
    with pytest.raises(ApiRefusal) as control:
        live.call("POST", f"{path}app&command=sh&stdout=true")

    assert 403 == refused.value.status
    assert "nobody enters the guard of a pod" in refused.value.message
    # The control gets as far as looking for the node, which this pod never has.
    assert 400 == control.value.status
    assert "does not have a host assigned" in control.value.message


def test_the_nodes_of_the_class_are_filled_in(glass: Live) -> None:
    """A tenant's pod on a node outside its class's pool would run beside other tenants."""
    with space(
        glass,
        node_selector="pool=agents arch.example/x=y",
        tolerations="t|Equal|a|NoSchedule| u|Exists||NoExecute|9",
    ) as where:
        made = where.lead.create(pod(where, compliant()), dry_run=True)["spec"]
        elsewhere = refusal_of(where.lead, pod(where, compliant() | {"nodeSelector": {"pool": "others"}}))

    assert {"pool": "agents", "arch.example/x": "y"} == made["nodeSelector"]
    assert [
        {"key": "t", "operator": "Equal", "value": "a", "effect": "NoSchedule"},
        {"key": "u", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9},
    ] == [each for each in made["tolerations"] if not each["key"].startswith("node.kubernetes.io/")]
    # What the tenant says is overwritten, not believed.
    assert (201, "") == elsewhere


def test_without_the_mutating_policy_no_pod_starts(glass: Live, spaces: dict[str, Space]) -> None:
    """If somebody removes what puts the guard there, tenants stop; they do not run unguarded."""
    where = spaces["Baseline"]
    ref = Ref("MutatingAdmissionPolicyBinding", "bulkhead-tenant-pods")
    binding = glass.get(ref)
    glass.delete(ref)
    try:
        status, message = wait_until(
            "the policy out of force",
            lambda: found if (found := refusal_of(where.lead, pod(where, compliant())))[0] != 201 else None,
        )
    finally:
        glass.create({**binding, "metadata": {"name": ref.name, "labels": binding["metadata"]["labels"]}})
        wait_until("the policy in force", lambda: refusal_of(where.lead, pod(where, compliant()))[0] == 201)

    assert (403, True) == (status, "spec.initContainers[0]: must be the guard" in message)
