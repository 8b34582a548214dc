"""The canaries: alive while the operator is not, open to every caller, able to do nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkhead import names

from .conftest import NAMESPACE

if TYPE_CHECKING:
    from .conftest import Helm, Rendered


def test_gateways_find_the_canaries_under_their_name(release: Rendered) -> None:
    """A gateway that finds none tells its guards so, and no agent or tool starts in any workspace."""
    service = release.one("Service", names.CANARY_SERVICE)
    pod = release.one("Deployment", names.CANARY_SERVICE)["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    listening = {port["name"]: port["containerPort"] for port in container["ports"]}

    assert NAMESPACE == service["metadata"]["namespace"]
    assert "None" == service["spec"]["clusterIP"], "one address for each canary, not one for all"
    assert names.CANARY_POD_LABELS == service["spec"]["selector"]
    assert names.CANARY_POD_LABELS.items() <= pod["metadata"]["labels"].items()
    assert [names.CANARY_PORT] == [port["port"] for port in service["spec"]["ports"]]
    assert {"canary": names.CANARY_PORT, "health": names.HEALTH_PORT} == listening
    assert ["canary"] == container["args"]


def test_canaries_take_connections_from_anywhere(release: Rendered) -> None:
    """A refusal here would pass for the caller's own policy, and a pod without any would start."""
    policy = release.one("NetworkPolicy", names.CANARY_SERVICE)["spec"]

    assert {
        "podSelector": {"matchLabels": names.CANARY_POD_LABELS},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"ports": [{"port": names.CANARY_PORT, "protocol": "TCP"}]}],
    } == policy


def test_the_operator_and_the_canaries_are_told_apart(release: Rendered) -> None:
    """Rights of the network go by labels: a canary must not pass for the operator at a gateway."""
    for kind in ("Deployment", "PodDisruptionBudget"):
        ours = release.one(kind, names.CANARY_SERVICE)["spec"]["selector"]["matchLabels"]
        operators = release.one(kind, "bulkhead-operator")["spec"]["selector"]["matchLabels"]
        assert names.CANARY_POD_LABELS == ours
        assert names.OPERATOR_POD_LABELS == operators


def test_a_canary_can_do_nothing(release: Rendered) -> None:
    """Everybody may connect to it: whoever breaks it finds no token, no right and no file to write."""
    account = release.one("ServiceAccount", names.CANARY_SERVICE)
    pod = release.one("Deployment", names.CANARY_SERVICE)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    bindings = release.all("ClusterRoleBinding") + release.all("RoleBinding")

    assert (False, False) == (
        account["automountServiceAccountToken"],
        pod["automountServiceAccountToken"],
    )
    assert names.CANARY_SERVICE == pod["serviceAccountName"]
    assert names.CANARY_SERVICE not in [each["name"] for one in bindings for each in one["subjects"]]
    assert {
        "runAsNonRoot": True,
        "runAsUser": names.POD_UID,
        "runAsGroup": names.POD_UID,
        "fsGroup": names.POD_UID,
        "seccompProfile": {"type": "RuntimeDefault"},
    } == pod["securityContext"]
    assert {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    } == container["securityContext"]
    assert {"volumes", "hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod) == set()
    assert "memory" in container["resources"]["limits"]


def test_one_canary_lives_through_drains_and_upgrades(helm: Helm) -> None:
    """While none lives, no agent or tool starts; with one replica a budget would block drains for ever."""
    release = helm()
    spec = release.one("Deployment", names.CANARY_SERVICE)["spec"]

    assert 2 == spec["replicas"]
    assert {"maxSurge": 1, "maxUnavailable": 0} == spec["strategy"]["rollingUpdate"]
    assert ["kubernetes.io/hostname"] == [
        each["topologyKey"] for each in spec["template"]["spec"]["topologySpreadConstraints"]
    ]
    assert 1 == release.one("PodDisruptionBudget", names.CANARY_SERVICE)["spec"]["minAvailable"]
    assert names.CANARY_SERVICE not in [
        each["metadata"]["name"] for each in helm("canary.replicas=1").all("PodDisruptionBudget")
    ]


def test_canaries_run_where_the_operator_may(helm: Helm) -> None:
    """A cluster that taints its platform nodes, or pulls with a Secret, must get its canaries too."""
    release = helm(
        'tolerations=[{"key":"platform","operator":"Exists"}]',
        'nodeSelector={"pool":"platform"}',
        'imagePullSecrets=["pull"]',
        'priorityClassName="high"',
        'sandboxImage.tag="7"',
    )
    pod = release.one("Deployment", names.CANARY_SERVICE)["spec"]["template"]["spec"]

    assert [{"key": "platform", "operator": "Exists"}] == pod["tolerations"]
    assert {"kubernetes.io/os": "linux", "pool": "platform"} == pod["nodeSelector"]
    assert ([{"name": "pull"}], "high") == (pod["imagePullSecrets"], pod["priorityClassName"])
    assert "bulkhead/sandbox:7" == pod["containers"][0]["image"]
