"""Pods as a tenant's admin makes them: the compliant one goes in, each single change to it does not."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from support.pod_cases import ALLOWED, REFUSED, Refused
from support.pod_edits import HARMLESS_VOLUMES, IMAGE, VOLUMES, compliant
from support.tenant_spaces import LEVELS, RUNTIME_CLASS, Space, forbidden, refusal_of, runtime_classes, space

from bulkhead import names
from kubelive import ApiRefusal, Live, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.pod_cases import Allowed

Manifest = dict[str, Any]
OURS = "ValidatingAdmissionPolicy 'bulkhead-tenant-pods'"
POD_SECURITY = 'violates PodSecurity "restricted:latest"'


@pytest.fixture(scope="module")
def spaces(glass: Live) -> Iterator[dict[str, Space]]:
    """A namespace a level, as the operator makes it."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(runtime_classes(glass))
        yield {level: stack.enter_context(space(glass, level)) for level in LEVELS}


@pytest.fixture(scope="module")
def bare(glass: Live, spaces: dict[str, Space]) -> Iterator[dict[str, Space]]:
    """The same without Pod Security's labels: our policies are alone."""
    with contextlib.ExitStack() as stack:
        yield {level: stack.enter_context(space(glass, level, pod_security=False)) for level in LEVELS}


def pod(where: Space, spec: Manifest, **metadata: Any) -> Manifest:
    """A pod of the tenant's."""
    found = where.manifest("Pod", "case", spec=spec)
    found["metadata"].update(metadata)
    return found


@pytest.mark.parametrize("level", LEVELS)
def test_the_compliant_pod_goes_in(spaces: dict[str, Space], level: str) -> None:
    """Without this control, every refusal below could have another cause."""
    where = spaces[level]

    assert (201, "") == refusal_of(where.lead, pod(where, compliant()))


@pytest.mark.parametrize("case", ALLOWED, ids=lambda case: case.name)
def test_what_harms_nobody_goes_in(spaces: dict[str, Space], case: Allowed) -> None:
    """Fences that refuse ordinary pods get taken down."""
    where, spec = spaces[case.level], compliant()
    case.edit(spec)

    assert (201, "") == refusal_of(where.lead, pod(where, spec))


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_one_change_is_refused(spaces: dict[str, Space], case: Refused) -> None:
    """One field of the compliant pod, and the tenant is on the node, in another workspace, or unfenced."""
    where, spec = spaces[case.level], compliant()
    case.edit(spec)

    message = forbidden(where.lead, pod(where, spec))

    if case.by_pod_security:
        assert POD_SECURITY in message
    else:
        assert OURS in message
        assert f"denied request: spec.{case.field}: " in message


@pytest.mark.parametrize(
    "case", [case for case in REFUSED if case.by_pod_security], ids=lambda case: case.name
)
def test_one_change_is_refused_without_pod_security_too(bare: dict[str, Space], case: Refused) -> None:
    """If one fence falls, by a label or a new release's rules, the other still stands."""
    where, spec = bare[case.level], compliant()
    case.edit(spec)

    message = forbidden(where.lead, pod(where, spec))

    assert OURS in message
    assert f"denied request: spec.{case.field}: " in message


@pytest.mark.parametrize("user", ["controller", "admin", "glass"])
def test_nobody_makes_a_privileged_pod(
    bare: dict[str, Space], user: str, request: pytest.FixtureRequest
) -> None:
    """A controller that was taken over, or an administrator in haste, is what these rules are for."""
    where, spec = bare["Baseline"], compliant()
    spec["hostPID"] = True
    live: Live = request.getfixturevalue(user)

    message = forbidden(live, pod(where, spec))

    assert "spec.hostPID: must not be true" in message


def test_every_kind_of_volume_is_in_the_tables(live: Live) -> None:
    """A release of Kubernetes with a new kind of volume must make somebody look at it."""
    schema = live.call("GET", "/openapi/v3/api/v1")["components"]["schemas"]["io.k8s.api.core.v1.Volume"]

    assert set(schema["properties"]) == {"name", *VOLUMES, *HARMLESS_VOLUMES}


def test_the_level_is_filled_in(spaces: dict[str, Space]) -> None:
    """A tenant need not know how its pods are sandboxed, and cannot forget it."""
    made = {
        level: where.lead.create(pod(where, compliant()), dry_run=True)["spec"]
        for level, where in spaces.items()
    }

    assert {"Baseline": None, "UserNamespace": False, "Sandboxed": None} == {
        level: spec.get("hostUsers") for level, spec in made.items()
    }
    assert {"Baseline": None, "UserNamespace": None, "Sandboxed": RUNTIME_CLASS} == {
        level: spec.get("runtimeClassName") for level, spec in made.items()
    }
    # The overhead of the RuntimeClass counts against the quota only if the API server looked again.
    assert {"cpu": "10m"} == made["Sandboxed"]["overhead"]


@pytest.mark.parametrize(
    ("level", "runtime_class"),
    [("Sandboxed", None), ("Unheard", None), ("", None)],
    ids=["class", "level", "none"],
)
def test_a_namespace_that_does_not_say_its_level_takes_no_pod(
    glass: Live, level: str, runtime_class: str | None
) -> None:
    """Unknown means denied: a pod without a sandbox would run where one was asked for."""
    with space(glass, level, runtime_class=runtime_class) as where:
        message = forbidden(where.lead, pod(where, compliant()))

    assert "does not say which isolation level holds" in message


def test_a_pod_that_would_displace_others_is_refused(glass: Live, spaces: dict[str, Space]) -> None:
    """A PriorityClass is for the whole cluster: the scheduler would evict others' pods for this one."""
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    meta = {"name": "fences-high"}
    glass.call("POST", path, {"kind": "PriorityClass", "metadata": meta, "value": 1000})
    where, chosen = spaces["Baseline"], compliant() | {"priorityClassName": "fences-high"}

    def refusal() -> str | None:
        message = forbidden(where.lead, pod(where, chosen))
        return None if "no PriorityClass with name" in message else message

    try:
        message = wait_until("the API server knows the class", refusal, timeout_seconds=20)
    finally:
        glass.call("DELETE", f"{path}/fences-high")

    assert "spec.priority: must not be above 0" in message


@pytest.mark.parametrize(
    "key",
    [
        "k8s.v1.cni.cncf.io/networks",
        "dev.gvisor.spec.mount.v.type",
        "cdi.k8s.io/gpu",
        "io.kubernetes.cri-o.Devices",
        "io.katacontainers.config.hypervisor.kernel",
    ],
)
def test_annotations_that_the_node_obeys_are_refused(bare: dict[str, Space], key: str) -> None:
    """A second network that no policy knows, a device, a flag for the sandbox: all by an annotation."""
    where = bare["Baseline"]

    message = forbidden(where.lead, pod(where, compliant(), annotations={key: "unconfined"}))

    assert f"metadata.annotations: a pod of a workspace must not have {key}" in message


def test_an_annotation_cannot_come_later(spaces: dict[str, Space]) -> None:
    """Between the pod's making and its sandbox's there is time for an update."""
    where = spaces["Baseline"]
    where.lead.create(pod(where, compliant(), name="later"))
    path = f"/api/v1/namespaces/{where.name}/pods/later"
    merge = "application/merge-patch+json"

    where.lead.call("PATCH", path, {"metadata": {"annotations": {"team": "a"}}}, content_type=merge)
    with pytest.raises(ApiRefusal) as refused:
        where.lead.call(
            "PATCH",
            path,
            {"metadata": {"annotations": {"k8s.v1.cni.cncf.io/networks": "host"}}},
            content_type=merge,
        )

    assert (403, True) == (refused.value.status, "metadata.annotations" in refused.value.message)


@pytest.mark.parametrize("container", ["containers", "initContainers"])
def test_an_image_cannot_change_later(spaces: dict[str, Space], container: str) -> None:
    """The image is the one field of a running container that an update may change: the guard's as well."""
    where = spaces["Baseline"]
    name = f"image-{container.lower()}"
    where.lead.create(pod(where, compliant(), name=name))
    operations = [{"op": "replace", "path": f"/spec/{container}/0/image", "value": "evil.example/x:1"}]

    with pytest.raises(ApiRefusal) as refused:
        where.lead.call(
            "PATCH",
            f"/api/v1/namespaces/{where.name}/pods/{name}",
            operations,
            content_type="application/json-patch+json",
        )

    assert 403 == refused.value.status
    assert "image" in refused.value.message


def test_old_pods_stay_free_to_end_after_the_class_became_stricter(glass: Live) -> None:
    """The Job controller takes its finalizer off by an update: refused, no teardown would ever end."""
    with space(glass) as where:
        where.lead.create(pod(where, compliant(), name="old", finalizers=["example.com/wait"]))
        glass.call(
            "PATCH",
            f"/api/v1/namespaces/{where.name}",
            {
                "metadata": {
                    "labels": {names.ISOLATION_LABEL: "Sandboxed"},
                    "annotations": {names.ALLOWED_IMAGES_ANNOTATION: "registry.example/none"},
                }
            },
            content_type="application/merge-patch+json",
        )

        left = where.lead.call(
            "PATCH",
            f"/api/v1/namespaces/{where.name}/pods/old",
            {"metadata": {"finalizers": None, "labels": {"a": "b"}}},
            content_type="application/merge-patch+json",
        )

    assert "finalizers" not in left["metadata"]


def _joining(live: Live, where: Space) -> Manifest:
    """The pod with one more, compliant, container that joins it while it runs."""
    path = f"/api/v1/namespaces/{where.name}/pods/joined"
    found = live.call("GET", path)
    joining = {**compliant()["containers"][0], "name": "debug", "image": IMAGE}
    found["spec"]["ephemeralContainers"] = [joining]
    return live.call("PUT", f"{path}/ephemeralcontainers?dryRun=All", found)


def test_a_container_that_joins_is_refused_by_rbac_and_by_policy(
    glass: Live, admin: Live, spaces: dict[str, Space]
) -> None:
    """It would start at once, guard or not: so only where the glass is broken."""
    where = spaces["Baseline"]
    gate = {"schedulingGates": [{"name": "bulkhead.test/never"}]}
    where.lead.create(pod(where, compliant() | gate, name="joined"))

    with pytest.raises(ApiRefusal) as by_rbac:
        _joining(where.lead, where)
    with pytest.raises(ApiRefusal) as by_policy:
        _joining(admin, where)

    assert 403 == by_rbac.value.status
    assert 'cannot update resource "pods/ephemeralcontainers"' in by_rbac.value.message
    assert 403 == by_policy.value.status
    assert "spec.ephemeralContainers: must not be added" in by_policy.value.message
    assert "debug" == _joining(glass, where)["spec"]["ephemeralContainers"][0]["name"]
