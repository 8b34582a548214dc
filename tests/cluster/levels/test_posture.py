"""ISO-POD: what the pods of each level are, as a program in them finds it and as the node sees them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import TYPE_CHECKING, Any

import pytest
from support.levels import SOURCES, UNTRUSTED, Tenant, pod_ready
from support.packets import Place
from support.posture import NAMESPACES, from_inside, from_the_node, watcher

from kubelive import Live, Ref
from kubelive.install import image_references

if TYPE_CHECKING:
    from collections.abc import Iterator

WATCHERS = "levels-watchers"
DEVICES = {f"/dev/{name}" for name in ("full", "null", "pts/ptmx", "random", "tty", "urandom", "zero")}
# Of gVisor's kernel, not of the node: there they are no files, and here they need a capability.
GVISOR_DEVICES = DEVICES | {"/dev/fuse", "/dev/net/tun"}

Facts = dict[str, Any]


@pytest.fixture(scope="module")
def inside(tenants: dict[str, Tenant]) -> dict[tuple[str, str], Facts]:
    """Level and pod -> what a program in it tells."""
    with ThreadPoolExecutor(4) as pool:
        asked = {
            (level, source): pool.submit(from_inside, tenant.place(source))
            for level, tenant in tenants.items()
            for source in SOURCES
        }
        return {at: future.result() for at, future in asked.items()}


@pytest.fixture(scope="module")
def nodes(live: Live) -> Iterator[list[Facts]]:
    """What each node sees of all its pods."""
    image = image_references()["sandbox"]
    live.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": WATCHERS}})
    pods = [watcher(WATCHERS, node["metadata"]["name"], image) for node in live.items("Node")]
    for pod in pods:
        live.create(pod)
    names = [str(pod["metadata"]["name"]) for pod in pods]
    for name in names:
        pod_ready(live, WATCHERS, name)

    yield [from_the_node(Place(WATCHERS, name, "main")) for name in names]

    live.delete(Ref("Namespace", WATCHERS))


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest) -> str:
    """Each pod of a workspace in turn: those of the operator's, trusted and not, and the tenant's own."""
    name: str = request.param
    return name


@pytest.fixture
def facts(inside: dict[tuple[str, str], Facts], tenant: Tenant, source: str) -> Facts:
    """What is found in that pod."""
    return inside[tenant.level, source]


@pytest.fixture
def kernel(tenant: Tenant, source: str) -> str:
    """Whose kernel answers in that pod; gateway and egress stay on the ordinary runtime."""
    return "gVisor" if tenant.level == "Sandboxed" and source in UNTRUSTED else "node"


def test_no_pod_has_a_token_of_the_api_server(facts: Facts) -> None:
    """Whoever takes the pod over would speak to the API server in its name."""
    assert [] == facts["tokens"]


def test_no_pod_has_or_can_gain_a_privilege(facts: Facts) -> None:
    """Capabilities and setuid programs are how a process becomes more than its uid."""
    names = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")

    assert dict.fromkeys(names, 0) == facts["capabilities"]
    assert 1 == facts["no_new_privs"]
    assert (65532, 65532) == (facts["uid"], facts["gid"])
    assert "EPERM" == facts["mount"]


def test_system_calls_are_filtered(facts: Facts, kernel: str) -> None:
    """The filter is the kernel's last word.

    In gVisor its own kernel answers system calls and shows no filter (0). What it may ask the node for is
    filtered where it runs: see the node's side below.
    """
    assert (0 if kernel == "gVisor" else 2) == facts["seccomp"]
    assert ("done" if kernel == "gVisor" else "EPERM") == facts["unshare"]


def test_no_root_is_writable(facts: Facts, kernel: str) -> None:
    """What cannot be written cannot be left behind for the next one."""
    assert "ro" in facts["root_options"]
    assert ("EACCES" if kernel == "gVisor" else "EROFS") == facts["write_to_root"]


def test_no_pod_has_a_device_or_a_socket_of_the_node(facts: Facts, kernel: str) -> None:
    """A disk is all data on it, and the socket of a container runtime is the node."""
    assert (GVISOR_DEVICES if kernel == "gVisor" else DEVICES) == set(facts["devices"])
    assert [] == facts["sockets"]
    assert [] == facts["abstract_sockets"]


def test_each_pod_is_alone_in_its_own_view(facts: Facts, tenant: Tenant, source: str) -> None:
    """Its own host name, and the container's own program as the first process."""
    assert tenant.pods[source]["metadata"]["name"] == facts["hostname"]
    assert "python3" == facts["first_process"].rpartition("/")[2]


def test_only_tenant_code_in_the_sandboxed_level_has_another_kernel(
    live: Live, facts: Facts, kernel: str
) -> None:
    """A RuntimeClass that quietly leads to the ordinary runtime would be a promise broken in silence."""
    of_the_nodes = {node["status"]["nodeInfo"]["kernelVersion"] for node in live.items("Node")}

    assert ("node" if facts["kernel"] in of_the_nodes else "gVisor") == kernel
    assert ("gVisor" if "Starting gVisor" in facts["kernel_log"] else "node") == kernel


def test_only_tenant_code_in_the_user_namespace_level_has_uids_of_its_own(
    facts: Facts, tenant: Tenant, source: str
) -> None:
    """Uid 0 in the pod is nobody on the node. In gVisor the map is that of its own kernel."""
    ((first, elsewhere, count),) = facts["uid_map"]

    if tenant.level == "UserNamespace" and source in UNTRUSTED:
        assert (0, 65536) == (first, count)
        assert elsewhere >= 65536
    else:
        assert [[0, 0, 4294967295]] == facts["uid_map"]


def _processes(nodes: list[Facts], tenant: Tenant, source: str) -> list[Facts]:
    uid = tenant.pods[source]["metadata"]["uid"]
    (found,) = [node["pods"][uid] for node in nodes if uid in node["pods"]]
    return list(found)


def test_the_node_sees_no_namespace_of_its_own_in_a_pod(
    nodes: list[Facts], tenant: Tenant, source: str
) -> None:
    """Processes of a pod of each level, gVisor's kernel included, share none with the node."""
    of_the_nodes = {node["node"]["namespaces"][kind] for node in nodes for kind in NAMESPACES}
    processes = _processes(nodes, tenant, source)

    shared = {
        (each["name"], kind)
        for each in processes
        for kind in NAMESPACES
        if each["namespaces"][kind] in of_the_nodes
    }

    assert processes
    assert set() == shared


def test_the_node_sees_no_two_pods_share_a_namespace(nodes: list[Facts], tenants: dict[str, Tenant]) -> None:
    """Not even two pods of one tenant.

    The file servers of all gVisor sandboxes share a network namespace, one without any network in it.
    """
    held = {
        f"{level} {source}": {
            each["namespaces"][kind]
            for each in _processes(nodes, tenant, source)
            for kind in NAMESPACES
            if kind != "net" or each["interfaces"] not in ([], ["lo"])
        }
        for level, tenant in tenants.items()
        for source in SOURCES
    }

    assert len(NAMESPACES) <= min(map(len, held.values()))
    assert [] == [(one, other) for one, other in combinations(held, 2) if held[one] & held[other]]


def test_the_node_sees_every_process_filtered_and_without_new_privileges(
    nodes: list[Facts], tenant: Tenant, source: str
) -> None:
    """The kernel of gVisor is a program too: what it may ask of the node is filtered like any other's."""
    processes = _processes(nodes, tenant, source)

    assert {(2, 1)} == {(each["seccomp"], each["no_new_privs"]) for each in processes}


def test_the_node_sees_no_capability_outside_a_user_namespace(
    nodes: list[Facts], tenant: Tenant, source: str
) -> None:
    """The kernel of gVisor keeps some, in a user namespace of its own: they are good for nothing else."""
    of_the_nodes = {node["node"]["namespaces"]["user"] for node in nodes}

    powerful = [
        each["name"]
        for each in _processes(nodes, tenant, source)
        if each["capabilities"] and each["namespaces"]["user"] in of_the_nodes
    ]

    assert [] == powerful


def test_the_node_sees_uids_that_no_two_pods_share(nodes: list[Facts], tenants: dict[str, Tenant]) -> None:
    """One uid for two pods would be one owner for the files of both."""
    tenant = tenants["UserNamespace"]
    uids = {source: {each["uid"] for each in _processes(nodes, tenant, source)} for source in UNTRUSTED}

    assert [] == [(one, other) for one, other in combinations(uids, 2) if uids[one] & uids[other]]
    assert min(uid for found in uids.values() for uid in found) >= 65536
