"""The operator's own pods: restricted, fenced, two of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import yaml

from bulkhead import names
from bulkhead.app.settings import from_environment

from .conftest import NAMESPACE, ROOT

if TYPE_CHECKING:
    from .conftest import Helm, Rendered

OPERATOR = "bulkhead-operator"


def test_pods_pass_the_restricted_standard(release: Rendered) -> None:
    """The namespace may enforce the restricted Pod Security standard, as docs/operate.md recommends."""
    pod = release.one("Deployment", OPERATOR)["spec"]["template"]["spec"]

    assert {
        "runAsNonRoot": True,
        "runAsUser": names.POD_UID,
        "runAsGroup": names.POD_UID,
        "fsGroup": names.POD_UID,
        "seccompProfile": {"type": "RuntimeDefault"},
    } == pod["securityContext"]
    assert [
        {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    ] == [container["securityContext"] for container in pod["containers"]]
    assert ["emptyDir"] == [key for volume in pod["volumes"] for key in volume if key != "name"]
    assert {"hostNetwork", "hostPID", "hostIPC", "hostUsers"} & set(pod) == set()


def test_pods_are_bounded(release: Rendered) -> None:
    """A leak must end the operator, not its node."""
    pod = release.one("Deployment", OPERATOR)["spec"]["template"]["spec"]

    assert "memory" in pod["containers"][0]["resources"]["limits"]
    assert [volume["emptyDir"]["sizeLimit"] for volume in pod["volumes"]] == ["64Mi"]


def test_workspaces_recognise_the_operators_pods(release: Rendered) -> None:
    """Gateways admit the operator by these labels; without them idle deadlines could not be kept."""
    labels = release.one("Deployment", OPERATOR)["spec"]["template"]["metadata"]["labels"]

    assert names.OPERATOR_POD_LABELS.items() <= labels.items()


def test_nothing_of_the_chart_passes_for_the_operators_work(release: Rendered) -> None:
    """What carries the operator's mark is repaired and swept; the release's objects are Helm's."""
    marked = [
        each["metadata"]["name"]
        for each in release.manifests
        if each["metadata"].get("labels", {}).get(names.MANAGED_BY_LABEL) == names.MANAGED_BY
    ]

    assert [] == marked


def test_every_object_carries_the_charts_labels(helm: Helm) -> None:
    """`kubectl get all -l` and common labels must find everything of the release."""
    release = helm('commonLabels={"team":"platform"}', 'secretNamespaces=["vault"]')
    bare = [
        f"{each['kind']} {each['metadata']['name']}"
        for each in release.manifests
        if each["metadata"]["labels"].get("team") != "platform"
        or each["metadata"]["labels"]["app.kubernetes.io/instance"] != "bulkhead"
    ]

    assert [] == bare


def test_the_operator_is_fenced_by_default(release: Rendered) -> None:
    """It holds rights over every tenant; what may talk to it, or it to, is listed."""
    policy = release.one("NetworkPolicy", OPERATOR)["spec"]

    assert names.OPERATOR_POD_LABELS == policy["podSelector"]["matchLabels"]
    assert ["Ingress", "Egress"] == policy["policyTypes"]
    assert "ingress" not in policy
    assert [[443, 6443], [53, 53], [names.GATEWAY_OPERATOR_PORT]] == [
        [port["port"] for port in rule["ports"]] for rule in policy["egress"]
    ]
    assert {"k8s-app": "kube-dns"} == policy["egress"][1]["to"][0]["podSelector"]["matchLabels"]
    assert [
        {
            "namespaceSelector": {"matchLabels": {names.MANAGED_BY_LABEL: names.MANAGED_BY}},
            "podSelector": {"matchLabels": {names.COMPONENT_LABEL: names.GATEWAY}},
        }
    ] == policy["egress"][2]["to"]


def test_only_the_listed_scraper_reaches_metrics(helm: Helm) -> None:
    """Metrics name workspaces."""
    peer = {"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}
    release = helm('networkPolicy.metricsFrom=[{"namespaceSelector":{"matchLabels":{"name":"monitoring"}}}]')
    container = release.one("Deployment", OPERATOR)["spec"]["template"]["spec"]["containers"][0]
    metrics = next(port["containerPort"] for port in container["ports"] if port["name"] == "metrics")

    assert [{"from": [peer], "ports": [{"port": metrics, "protocol": "TCP"}]}] == release.one(
        "NetworkPolicy", OPERATOR
    )["spec"]["ingress"]


def test_the_api_server_can_be_pinned(helm: Helm) -> None:
    """Where the network engine matches nodes by address, 443 need not be open to all the world."""
    release = helm('networkPolicy.apiServer.cidrs=["198.51.100.7/32"]')

    assert [{"ipBlock": {"cidr": "198.51.100.7/32"}}] == release.one("NetworkPolicy", OPERATOR)["spec"][
        "egress"
    ][0]["to"]


def test_agent_sandbox_webhook_certificates_there_are_none(release: Rendered) -> None:
    """Its webhook's certificate ended after a year; and while a webhook is down, tenants are frozen."""
    kinds = {each["kind"] for each in release.manifests}

    assert set() == kinds & {
        "APIService",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
    }
    assert [None] * 2 == [
        crd["spec"].get("conversion", {}).get("webhook") for crd in release.all("CustomResourceDefinition")
    ]


def test_a_drain_leaves_one_replica(helm: Helm) -> None:
    """With one replica a budget of one would block every drain for ever."""
    assert 1 == helm().one("PodDisruptionBudget", OPERATOR)["spec"]["minAvailable"]
    assert {"bulkhead-canary", "bulkhead-issuer"} == {
        each["metadata"]["name"] for each in helm("replicaCount=1").all("PodDisruptionBudget")
    }


def test_two_replicas_on_different_nodes(release: Rendered) -> None:
    """The second waits on the Lease; on the same node it would fall with the first."""
    spec = release.one("Deployment", OPERATOR)["spec"]

    assert 2 == spec["replicas"]
    assert ["kubernetes.io/hostname"] == [
        each["topologyKey"] for each in spec["template"]["spec"]["topologySpreadConstraints"]
    ]


def test_an_image_is_named_by_digest_if_there_is_one(helm: Helm) -> None:
    """A tag can be moved under a running installation; a digest cannot."""
    digest = "sha256:" + "0" * 64
    release = helm(
        'image.registry="registry.example:5000"', f'image.digest="{digest}"', 'sandboxImage.tag="7"'
    )
    container = release.one("Deployment", OPERATOR)["spec"]["template"]["spec"]["containers"][0]
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}

    assert f"registry.example:5000/bulkhead/operator@{digest}" == container["image"]
    assert "bulkhead/sandbox:7" == environment["BULKHEAD_SANDBOX_IMAGE"]


def test_the_operator_understands_every_setting_of_the_chart(helm: Helm) -> None:
    """It refuses to start with a variable that it does not know or cannot read."""
    release = helm(
        'settings.clusterCIDRs=["198.51.100.0/24"]',
        'settings.dns={"namespace":"dns","podLabels":{"app":"coredns"}}',
        'settings.logLevel="debug"',
    )
    pod = release.one("Deployment", OPERATOR)["spec"]["template"]["spec"]
    from_the_api = {
        "metadata.name": "bulkhead-operator-x",
        "metadata.namespace": NAMESPACE,
        "spec.serviceAccountName": pod["serviceAccountName"],
    }
    environment = {
        entry["name"]: entry["value"]
        if "value" in entry
        else from_the_api[entry["valueFrom"]["fieldRef"]["fieldPath"]]
        for entry in pod["containers"][0]["env"]
    }
    ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}

    settings = from_environment(environment)

    assert {"health": settings.health_port, "metrics": settings.metrics_port} == ports
    assert ("bulkhead-operator", NAMESPACE) == (
        settings.operator_service_account,
        settings.operator_namespace,
    )
    assert (("198.51.100.0/24",), "dns", {"app": "coredns"}, "debug") == (
        settings.cluster_cidrs,
        settings.dns_namespace,
        settings.dns_pod_labels,
        settings.log_level,
    )


def test_chart_and_code_are_one_version() -> None:
    """The default image tag is the chart's appVersion."""
    chart = yaml.safe_load((ROOT / "charts" / "bulkhead" / "Chart.yaml").read_text())
    project = re.search(r'(?m)^version = "(.+)"$', (ROOT / "pyproject.toml").read_text())

    assert project is not None
    assert project[1] == chart["version"] == chart["appVersion"]


def test_everything_namespaced_stays_in_the_release_but_for_events(release: Rendered) -> None:
    """Events about cluster-scoped objects must live in `default`; nothing else of ours may."""
    elsewhere = {
        (each["kind"], each["metadata"]["name"])
        for each in release.manifests
        if each["metadata"].get("namespace", NAMESPACE) != NAMESPACE
    }

    assert {("Role", "bulkhead-events"), ("RoleBinding", "bulkhead-events")} == elsewhere
